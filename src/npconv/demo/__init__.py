"""What `npconv demo` shows: the proof, a photograph, digits learned, and the report.

Everything here computes through npconv's public interface, as a user would. The proof
needs NumPy alone; the rest needs the extra `npconv[demo]`.
"""
