"""Korean: what `npconv bench` says."""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "bench_brief": "설치된 다른 라이브러리와 나란히 속도를 잽니다",
    "bench_about": (
        "잘 알려진 신경망의 층을 npconv의 두 엔진과 설치된 라이브러리(PyTorch, ONNX Runtime,\n"
        "ncnn, OpenVINO, JAX)에서 잽니다. 순전파는 가중치를 미리 변환해 두고, 역전파는 세\n"
        "기울기를 모두 구합니다. 라이브러리마다 별도의 프로세스에서 번갈아 여러 번 재어\n"
        "중앙값을 쓰고, 결과가 서로 같은지도 확인합니다. 종료 상태는 결과가 다르거나 실행에\n"
        "실패했을 때만 1입니다. npconv가 느린 곳은 표에 그대로 나옵니다."
    ),
    "help_bench_layers": "잴 층 (기본값은 전부): {names}",
    "help_bench_peers": "비교할 라이브러리 (기본값은 설치된 것 전부, 비우면 없음): {names}",
    "help_bench_directions": "{names}. backward는 세 기울기 전부를 뜻합니다 (기본값은 둘 다)",
    "help_bench_engines": "npconv의 엔진: {names} (기본값은 둘 다)",
    "help_bench_threads": "스레드 수. 여럿을 쓸 수 있습니다 (기본값 1 2)",
    "help_bench_rounds": "번갈아 재는 횟수 (기본값 7)",
    "help_bench_others": "다른 dtype, 그룹, 차원, 풀링도 PyTorch와 비교합니다",
    "help_bench_training": "학습 한 단계 전체도 PyTorch와 비교합니다",
    "help_bench_examine": "층마다 npconv의 선택, 오차, 메모리도 살피고 기계의 속도도 잽니다",
    "help_bench_all": "위의 셋을 모두 합니다",
    "help_bench_quick": "짧게 한 번만 잽니다. 동작을 확인할 때 쓰며, 우열을 가리지는 못합니다",
    "help_bench_output": "이 디렉터리에 bench.json, bench.txt, bench.png(그림)를 저장합니다",
    "help_bench_show": "재지 않고 이 기록을 보여 줍니다 (--output을 쓰면 다시 저장합니다)",
    "example_bench": "모든 층을 설치된 모든 라이브러리에서 잽니다",
    "example_bench_quick": "두 층을 간단히 살펴봅니다",
    "example_bench_all": "PyTorch하고만 모든 항목을 비교해 파일로 남깁니다",
    "example_bench_show": "전에 잰 기록을 봅니다",
    # ---- what was not done -------------------------------------------------------------
    "bench_nobody": "잴 수 있는 것이 없습니다. {names}에 필요한 패키지가 설치되어 있지 않습니다",
    "bench_missing": "{library}: 설치되어 있지 않아 건너뜁니다 (필요한 패키지: {packages})",
    "bench_trouble_refused": "{library}: 지원하지 않습니다. {text}",
    "bench_trouble_failed": "{library}: 실행에 실패했습니다. {text}",
    "bench_trouble_differs": "{library}: 결과가 다릅니다. {text}",
    "bench_no_record": "{path}: npconv bench의 기록이 아니거나 버전이 다릅니다",
    "bench_no_picture": "{package}이(가) 없어 그림은 만들지 않습니다 (pip install 'npconv[bench]')",
    "bench_written": "저장했습니다: {path}",
    # ---- tables ------------------------------------------------------------------------
    "bench_title": "npconv bench 측정 결과",
    "bench_machine": "{cpu}, 코어 {cores}개, {system}, Python {python}, NumPy {numpy}, {date}",
    "bench_rounds": "번갈아 {rounds}번 잰 값의 중앙값, 전체 {minutes}분",
    "bench_busy": "다른 라이브러리를 재는 동안 쉬지 않은 비율(프로세서 하나 기준): {shares}",
    "bench_others": (
        "기계가 다른 일도 하고 있었습니다(프로세서 {busy}개만큼). 특히 스레드 둘을 쓴 값은"
        " 믿을 것이 못 됩니다"
    ),
    "bench_figures": "목표와 결과 (층 {all}개 가운데 {count}개)",
    "bench_figure": "항목",
    "bench_threads": "스레드",
    "bench_reached": "결과",
    "bench_needed": "목표",
    "bench_verdict": "판정",
    "bench_where": "위치",
    "bench_holds": "달성",
    "bench_misses": "미달",
    "bench_not_measured": "재지 않음",
    "bench_layers": "층, {direction}, 스레드 {threads}개 (밀리초)",
    "bench_everyday": "그 밖의 문제, {direction}, 스레드 {threads}개 (밀리초)",
    "bench_training": "학습, {direction}, 스레드 {threads}개 (밀리초)",
    "bench_forward": "순전파",
    "bench_backward": "역전파",
    "bench_step": "한 단계 전체",
    "bench_problem": "문제",
    "bench_over_torch": "PyTorch/{engine} 시간비",
    "bench_over_best": "최고/{engine} 시간비",
    "bench_mean": "기하 평균",
    "bench_least": "최솟값",
    "bench_engine": "엔진",
    "bench_microseconds": "마이크로초",
    "bench_held": "계획을 만들어 두고 부른 demo.8x8 (커널은 변환하지 않음)",
    "bench_choice": "미리 변환한 커널에 대한 auto의 선택, {engine} 엔진, 스레드 {threads}개",
    "bench_call": "호출마다 커널을 변환할 때 auto의 선택, {engine} 엔진, 스레드 {threads}개",
    "bench_choice_columns": "문제|방향|auto|가장 빠른 것|시간비|최대 오차|한계 대비",
    "bench_memory": (
        "피연산자, 변환한 커널, 결과를 뺀 메모리(MiB), {engine} 엔진, 스레드 {threads}개"
    ),
    "bench_memory_columns": "문제|방향|알고리즘|배열|밝힌 값|상주",
    # ---- figures -----------------------------------------------------------------------
    "bench_figure_numpy_forward": "NumPy 엔진, 순전파, PyTorch 대비, 평균",
    "bench_figure_numpy_backward": "NumPy 엔진, 역전파, PyTorch 대비, 평균",
    "bench_figure_compiled_forward": "컴파일된 엔진, 순전파, 가장 빠른 라이브러리 대비, 평균",
    "bench_figure_compiled_forward_worst": (
        "컴파일된 엔진, 순전파, 가장 빠른 라이브러리 대비, 최저"
    ),
    "bench_figure_compiled_backward": "컴파일된 엔진, 역전파, PyTorch 대비, 평균",
    "bench_figure_compiled_backward_worst": "컴파일된 엔진, 역전파, PyTorch 대비, 최저",
    "bench_figure_direct_share": "컴파일된 엔진, direct, sgemm 속도 대비, 세 층 중 최저",
    "bench_figure_compiled_everyday": "컴파일된 엔진, 그 밖의 문제, PyTorch 대비, 평균",
    "bench_figure_compiled_everyday_worst": "컴파일된 엔진, 그 밖의 문제, 최저",
    "bench_figure_numpy_everyday": "NumPy 엔진, 그 밖의 문제, PyTorch 대비, 평균",
    "bench_figure_numpy_everyday_worst": "NumPy 엔진, 그 밖의 문제, 최저",
    "bench_figure_held": "컴파일된 엔진, 만들어 둔 계획으로 작은 호출, 마이크로초",
    "bench_figure_scaling_forward": "컴파일된 엔진, 순전파, 스레드를 늘렸을 때, 큰 층",
    "bench_figure_scaling_backward": "컴파일된 엔진, 역전파, 스레드를 늘렸을 때, 큰 층",
    "bench_figure_compiled_memory": "컴파일된 엔진, 피연산자와 결과를 뺀 메모리, MiB",
    "bench_figure_numpy_memory": "NumPy 엔진, 피연산자와 결과를 뺀 메모리, MiB",
    "bench_figure_compiled_regret": "컴파일된 엔진, auto / 가장 빠른 것, 중앙값",
    "bench_figure_compiled_regret_p95": "컴파일된 엔진, auto / 가장 빠른 것, 95번째 백분위",
    "bench_figure_numpy_regret": "NumPy 엔진, auto / 가장 빠른 것, 중앙값",
    "bench_figure_numpy_regret_p95": "NumPy 엔진, auto / 가장 빠른 것, 95번째 백분위",
    "bench_figure_training": "컴파일된 엔진, 학습 한 단계, PyTorch 대비",
    "bench_figure_compiled_errors": "컴파일된 엔진, 최대 오차 / 가장 큰 출력",
    "bench_figure_compiled_of_bound": "컴파일된 엔진, 최대 오차 / 밝힌 한계",
    "bench_figure_numpy_errors": "NumPy 엔진, 최대 오차 / 가장 큰 출력",
    "bench_figure_numpy_of_bound": "NumPy 엔진, 최대 오차 / 밝힌 한계",
}
