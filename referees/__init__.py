"""The peers' own test cases, run against npconv.

Each referee is one file that takes the cases from the peer's published test suite, puts
them to the peer and to npconv, and compares. An adapter may add a batch axis and cast
dtypes, nothing else. Run ``python -m referees`` (``make referees``).
"""
