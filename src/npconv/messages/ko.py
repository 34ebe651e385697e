"""Korean: what the command line says, argparse's own words included."""

from __future__ import annotations

TEXTS: dict[str, str] = {
    # ---- the program -----------------------------------------------------------------
    "about": "NumPy 배열을 위한 합성곱: 순전파와 역전파.",
    "commands": "명령",
    "common_options": "공통 옵션",
    "examples": "예:",
    "help_help": "이 도움말을 보여 줍니다",
    "help_json": "글 대신 데이터(JSON)로 출력합니다",
    "help_lang": "언어: en(영어) 또는 ko(한국어). 기본값은 로캘을 따릅니다",
    "help_version": "버전을 보여 줍니다",
    # ---- errors ----------------------------------------------------------------------
    "error": "npconv: {text}",
    "warning": "npconv: 경고: {text}",
    "interrupted": "중단했습니다",
    "no_memory": "메모리가 부족합니다",
    "missing_extra": '{package} 패키지가 필요합니다. 설치: pip install "npconv[demo]"',
    "bad_arguments": "{message} (도움말: {program} --help)",
    "unknown_command": "{name!r} 명령은 없습니다. 쓸 수 있는 명령: {commands}",
    "missing_argument": "{option} 인자가 빠졌습니다 (도움말: npconv filter --help)",
    "no_file": "{path} 파일이 없습니다",
    "no_directory": "{path} 디렉터리가 없습니다",
    "is_directory": "{path}: 파일이 와야 할 자리에 디렉터리가 있습니다",
    "not_directory": "{path}: 디렉터리가 와야 할 자리에 파일이 있습니다",
    "unreadable": "{path} 파일을 읽을 수 없습니다: {reason}",
    "unwritable": "{path} 파일을 쓸 수 없습니다: {reason}",
    "bad_shape": "{text!r}: 올바른 형상이 아닙니다. 1,64,56,56처럼 크기를 나열하십시오",
    "bad_whole": "{text!r}: 2 또는 2,1처럼 정수로 써야 합니다",
    "bad_padding": ("{text!r}: 올바른 패딩이 아닙니다. 1, 1,2, 0:1,2:1(앞:뒤), same처럼 쓰십시오"),
    "bad_count": "{text!r}: 1 이상의 정수여야 합니다",
    "bad_seed": "{text!r}: 0 이상의 정수여야 합니다",
    "bad_rate": "{text!r}: 0보다 큰 수여야 합니다",
    "bad_bytes": "{text!r}: 올바른 바이트 수가 아닙니다. 16MiB, 1.5GB, 4096처럼 쓰십시오",
    "bad_weights": '{text!r}: "0 1 0; 1 -4 1; 0 1 0"처럼 각 행의 수 개수가 같아야 합니다',
    "bad_number": "{text!r}: 유한한 수나 분수가 아닙니다",
    # ---- check -----------------------------------------------------------------------
    "check_brief": "계산이 옳은지 증명합니다",
    "check_about": (
        "두 알고리즘의 결과를 비교하고, 층의 형상을 확인하고, 기울기를 수치 미분과"
        " 비교합니다.\n"
        "줄마다 측정값, 만족해야 할 조건, 판정을 보여 줍니다. 모두 통과해야 종료 상태가\n"
        "0입니다. NumPy만 있으면 됩니다."
    ),
    "help_check_seed": "무작위 데이터의 시드 (기본값 0)",
    "example_check": "증명을 한 줄씩 출력합니다",
    "example_json": "같은 값을 데이터로 출력합니다",
    "check_layer": "{layer}, 입력 형상 {shape}, 표준 정규분포 데이터, float64",
    "check_agreement": "conv2d_naive와 conv2d_im2col의 최대 차이",
    "check_shapes": "순전파와 역전파 결과의 형상",
    "check_gradients": (
        "sum(y**2)의 기울기, 해석적 값과 수치 미분의 비교: max|analytic - numeric| / max|analytic|"
    ),
    "check_ten_lines": "보고서의 열 줄짜리 코드와 층의 최대 상대 차이",
    "check_variants": "다른 옵션으로 같은 확인",
    "check_holds": "확인 {count}개를 모두 통과했습니다 ({seconds}초).",
    "check_failed": "확인 {count}개 가운데 {failed}개가 실패했습니다 ({seconds}초).",
    "sums_of": "항 {count}개의 합",
    "of_output": "출력",
    "of_input": "입력의 기울기",
    "of_weight": "가중치의 기울기",
    "of_bias": "편향의 기울기",
    "by_input": "입력에 대해",
    "by_weight": "가중치에 대해",
    "by_bias": "편향에 대해",
    "column_options": "옵션",
    "column_output": "출력",
    "column_agreement": "naive-im2col",
    "holds": "통과",
    "fails": "실패",
    # ---- filter ----------------------------------------------------------------------
    "filter_brief": "내 이미지에 커널을 적용합니다",
    "filter_about": (
        "이미지에 이름 있는 커널이나 직접 쓴 가중치로 합성곱을 적용해 새 파일로 저장합니다.\n"
        "회색조, RGB, 팔레트, 16비트 회색조 이미지를 그 종류대로 다루고 투명도를 유지합니다.\n"
        "결과 파일은 온전히 저장되거나 아예 저장되지 않습니다."
    ),
    "help_image": "이미지 파일: PNG, JPEG, TIFF, WebP 등",
    "help_kernel": "다음 중 하나: {names}",
    "help_weights": "직접 쓰는 커널. 행은 세미콜론으로 나눕니다",
    "help_list": "이름 있는 커널의 목록을 보여 줍니다",
    "help_output": "저장할 파일. 확장자가 형식을 정합니다",
    "help_view": (
        "응답을 이미지로 나타내는 방법. clip은 범위를 벗어난 값을 흑과 백으로 자르고,"
        " signed는 0을 중간 회색에 두고, magnitude는 부호 없이 크기만 보여 줍니다. auto는"
        " 가중치의 합이 0이면 signed, 아니면 clip입니다"
    ),
    "example_filter": "사진을 선명하게 합니다",
    "example_weights": "직접 쓴 커널을 적용합니다",
    "example_list": "이름 있는 커널과 그 가중치를 봅니다",
    "filter_done": "저장했습니다: {path} ({width} x {height}, {kind})",
    "view_clip": "0보다 작은 응답은 검은색, {peak}보다 큰 응답은 흰색으로 나타냈습니다.",
    "view_signed": "중간 회색이 응답 0이고, 검은색이 -{scale}, 흰색이 {scale}입니다.",
    "view_magnitude": "검은색이 응답 0이고, 흰색은 크기가 {scale} 이상인 응답입니다.",
    "source": "출처",
    "unknown_kernel": "{name!r} 커널은 없습니다. 쓸 수 있는 커널: {names}",
    "no_picture": "{path}: Pillow로 읽을 수 있는 이미지가 아닙니다",
    "picture_too_large": "{path}: 픽셀이 너무 많습니다. {limit}픽셀까지 읽습니다",
    "picture_kind": "{path}: 다루지 않는 종류의 이미지입니다: {kind}",
    "picture_format": "{path}: {suffix!r} 형식으로는 저장할 수 없습니다. .png를 써 보십시오",
    "picture_loses": ("{path}: {format} 형식은 이 이미지({kind})를 담지 못합니다. .png를 쓰십시오"),
    # ---- plan ------------------------------------------------------------------------
    "plan_brief": "어떤 알고리즘이 왜 쓰이는지 보여 줍니다",
    "plan_about": (
        "형상만으로 합성곱이나 그 기울기의 계산을 계획합니다. 알고리즘마다 비용, 작업 메모리,\n"
        "오차 증가율을 보여 주고, 쓸 수 없으면 그 까닭을 알려 줍니다."
    ),
    "help_plan_input": "입력의 형상. 예: 1,64,56,56",
    "help_plan_kernel": "커널의 형상. 예: 64,64,3,3",
    "help_stride": "스트라이드(보폭). 하나 또는 축마다 하나 (기본값 1)",
    "help_padding": "패딩. 2, 축마다 1,2, 앞:뒤 0:1,2:1, valid, same 등 (기본값 0)",
    "help_dilation": "커널 원소의 간격 (기본값 1)",
    "help_input_dilation": "입력 원소의 간격 (기본값 1)",
    "help_groups": "채널을 나누는 그룹의 수 (기본값 1)",
    "help_batch_groups": "배치를 나누는 그룹의 수 (기본값 1)",
    "help_padding_mode": "zeros, reflect, replicate, circular 중 하나 (기본값 zeros)",
    "help_layout": "입력 축의 순서 (기본값 NCHW 등)",
    "help_kernel_layout": "커널 축의 순서 (기본값 OIHW 등)",
    "help_direction": "forward, input_grad, kernel_grad 중 하나 (기본값 forward)",
    "help_dtype": "float32, float64 등 (기본값 float32)",
    "help_algorithm": "알고리즘의 이름 또는 auto (기본값 auto)",
    "help_workspace": "작업 메모리의 한도. 예: 16MiB (기본값 64MiB)",
    "help_accuracy": "standard 또는 strict",
    "example_plan": "잘 알려진 신경망의 한 층",
    "example_plan_more": "작은 메모리로 그 입력의 기울기를 구하는 계획",
    "example_plan_padding": "신호의 인과적 합성곱을 데이터로 출력합니다",
    "plan_chosen": "{engine} 엔진의 {algorithm} 알고리즘, 정확도 {accuracy}",
    "plan_tiles": (
        "타일 크기: 이미지 {images}장, 그룹 {groups}개, 출력 채널 {K}개, 입력 채널 {C}개,"
        " 위치 {size}까지"
    ),
    "plan_unable": "불가",
    "plan_notes": (
        "작업 메모리: 최대 {limit} MiB, 동시에 계산하는 타일: {tiles}개\n"
        "비트 재현: 이미지의 결과는 배치나 스레드 수에 따라 달라지지 않습니다.{unless}"
    ),
    "plan_not_held": (
        "\n다만 지금은 BLAS의 스레드 수를 고정할 수 없어, 그 수가 바뀌면 더하는 순서가 달라질\n"
        "수 있습니다(pip install threadpoolctl)."
    ),
    "column_algorithm": "알고리즘",
    "column_time": "이미지당 ms",
    "column_products": "곱셈",
    "column_workspace": "작업 메모리",
    "column_growth": "오차 증가율",
    # ---- compile ---------------------------------------------------------------------
    "compile_brief": "자주 쓰는 문제의 커널을 미리 컴파일합니다",
    "compile_about": (
        "컴파일 엔진은 처음 보는 종류의 문제를 만나면 기계어를 만듭니다. 종류마다 1초쯤 걸리며,\n"
        "한 컴퓨터에서 한 번이면 됩니다. 이 명령은 그 일을 미리 해 둡니다. 컨테이너 이미지를\n"
        "만들 때 쓰면 좋습니다. 저장할 폴더는 NPCONV_CACHE로 바꿀 수 있습니다. 저장할 수 없으면\n"
        "종료 상태는 1입니다."
    ),
    "help_compile_dtypes": "컴파일할 dtype (기본은 모두): {names}",
    "example_compile": "모두 컴파일",
    "example_compile_one": "dtype 하나만",
    "compile_done": (
        "커널 {compiled}개를 컴파일했고 {found}개는 이미 있었습니다({seconds}초)."
        " 저장한 곳: {folder}"
    ),
    "compile_not_kept": (
        "커널 {compiled}개를 {seconds}초 만에 컴파일했지만 {folder}에 저장할 수 없습니다."
        " 쓸 수 있는 폴더여야 합니다(NPCONV_CACHE로 다른 폴더를 정할 수 있습니다)"
    ),
    # ---- train -----------------------------------------------------------------------
    "train_brief": "손글씨 숫자나 내 이미지로 작은 신경망을 학습합니다",
    "train_about": (
        "이미지의 5분의 1을 평가용으로 떼어 두고 작은 합성곱 신경망을 학습한 뒤, 평가용\n"
        "이미지를 얼마나 맞히는지 알려 줍니다. --checkpoint를 쓰면 언제든 멈출 수 있고,\n"
        "--resume으로 이어서 하면 중단하지 않은 것과 같은 결과를 얻습니다."
    ),
    "help_data": (
        "digits(scikit-learn의 손글씨 숫자 1,797장) 또는 numpy.savez로 만든 .npz 파일. x는"
        " (N, H, W)나 (N, C, H, W) 형상, y는 정수 레이블 (N,)"
    ),
    "help_epochs": "전체 이미지를 보는 횟수, 에포크 (기본값 {n})",
    "help_batch_size": "한 단계에 쓰는 이미지 수 (기본값 {n})",
    "help_lr": "학습률 (기본값 {x})",
    "help_seed": "데이터 분할, 가중치, 순서의 시드 (기본값 0)",
    "help_checkpoint": "학습 상태를 이 파일에 저장합니다",
    "help_resume": "체크포인트가 있으면 이어서 학습합니다",
    "help_train_out": "학습한 가중치를 이 파일에 저장합니다",
    "example_train": "손글씨 숫자 1,797장을 학습합니다",
    "example_resume": "멈출 수 있는 학습. 같은 명령으로 이어집니다",
    "example_data": "내 이미지로 학습하고 가중치를 저장합니다",
    "train_begins": (
        "학습용 {train}장, 평가용 {test}장, 이미지 크기 {shape}, 클래스 {classes}개\n"
        "픽셀값을 나눈 수 {scale}, 매개변수 {parameters}개"
    ),
    "train_done": (
        "평가 정확도: {accuracy} % ({count}장 중 {right}장), {epochs}에포크, {seconds}초"
    ),
    "train_saved": "가중치를 {path}에 저장했습니다",
    "resume_what": "--resume에는 이어서 할 --checkpoint FILE.npz가 필요합니다",
    "checkpoint_there": (
        "{path} 파일이 이미 있습니다. --resume으로 이어서 하거나 다른 이름을 쓰십시오"
    ),
    "data_missing": "{path}: {name!r} 배열이 필요한데 들어 있는 배열은 {found}입니다",
    "data_x": (
        "{path}: x는 H와 W가 {side} 이상인 (N, H, W) 또는 (N, C, H, W) 형상의 실수 배열이어야"
        " 하는데, 형상이 {shape}, dtype이 {dtype}입니다"
    ),
    "data_y": (
        "{path}: y는 이미지마다 하나씩 정수 {count}개여야 하는데, 형상이 {shape}, dtype이"
        " {dtype}입니다"
    ),
    "data_finite": "{path}: x에 NaN이나 무한대가 있습니다",
    "data_classes": "{path}: y에 서로 다른 레이블이 둘 이상 있어야 합니다",
    "data_few": "{path}: 이미지가 {count}장뿐이어서 평가용으로 5분의 1을 떼어 둘 수 없습니다",
    # ---- demo ------------------------------------------------------------------------
    "demo_brief": "실제 데이터로 전체를 실행하고 그림이 있는 보고서를 만듭니다",
    "demo_about": (
        "계산을 증명하고, 사진에 커널을 적용하고, 손글씨 숫자로 작은 신경망을 학습한 다음,\n"
        "브라우저로 여는 한 페이지 보고서(영어와 한국어)로 정리합니다.\n"
        "네트워크 없이 동작하며 30초쯤 걸립니다."
    ),
    "help_demo_out": "보고서와 그림을 저장할 디렉터리 (기본값 npconv-demo)",
    "help_demo_epochs": "학습 에포크 수 (기본값 {n})",
    "example_demo": "전체를 실행하고 npconv-demo/에 보고서를 만듭니다",
    "example_demo_ko": "한국어로, 다른 디렉터리에",
    "demo_step_proof": "[1/4] 증명",
    "demo_step_photo": "[2/4] 사진 한 장에 커널 {count}개 적용",
    "demo_step_train": "[3/4] 손글씨 숫자 {train}장으로 작은 신경망 학습, 평가용 {test}장",
    "demo_step_report": "[4/4] 보고서",
    "demo_proof_done": "      확인 {count}개 모두 통과 ({seconds}초)",
    "demo_photo_done": "      {width} x {height}픽셀, {seconds}초",
    "demo_train_done": (
        "      평가 정확도 {accuracy} % ({count}장 중 {right}장), 학습 시간 {seconds}초"
    ),
    "demo_report_done": "      그림 {count}장, 전체 {seconds}초",
    "demo_open": "브라우저로 여십시오: {path}",
}

# What argparse asks gettext for. A Python that has other words says those in English.
ARGPARSE: dict[str, str] = {
    "usage: ": "사용법: ",
    "options": "옵션",
    "positional arguments": "인자",
    "argument %(argument_name)s: %(message)s": "%(argument_name)s: %(message)s",
    "expected one argument": "값이 하나 필요합니다",
    "ignored explicit argument %r": "값을 받지 않는 옵션인데 %r 값이 있습니다",
    "invalid choice: %(value)r (choose from %(choices)s)": (
        "%(value)r 값은 쓸 수 없습니다. 쓸 수 있는 값: %(choices)s"
    ),
    "not allowed with argument %s": "%s 옵션과 함께 쓸 수 없습니다",
    "the following arguments are required: %s": "필요한 인자가 빠졌습니다: %s",
    "unrecognized arguments: %s": "알 수 없는 인자입니다: %s",
}
