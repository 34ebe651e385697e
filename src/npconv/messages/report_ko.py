"""Korean: the report of `npconv demo`. Texts are HTML; captions say what a picture teaches."""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "r_title": "합성곱, 반복문에서 숫자를 읽는 신경망까지",
    "r_lead": (
        "이 페이지의 모든 결과는 지금 이 컴퓨터에서 <code>npconv</code>로 계산했습니다."
        " 합성곱의 정의부터 학습을 마친 작은 신경망까지, 처음부터 끝까지 같은 함수를 씁니다."
    ),
    "r_language": "언어",
    "r_fact_checks": "확인 통과",
    "r_fact_accuracy": "평가용 숫자를 맞힌 비율",
    "r_fact_seconds": "학습 시간",
    "r_fact_parameters": "학습한 매개변수",
    "r_seconds": "{seconds}초",
    "r_count": "{n}개",
    # ---- 1 the idea --------------------------------------------------------------------
    "r_idea": "원리",
    "r_idea_text": (
        "작은 가중치 배열인 <em>커널</em>이 입력 위를 미끄러지듯 지나갑니다. 자리마다 커널과"
        " 그 아래 놓인 <em>창</em>을 원소끼리 곱하고, 그 합이 출력 하나가 됩니다. 합성곱은"
        " 이것이 전부입니다. 빠르게 계산하려면 <code>im2col</code>로 모든 창을 행렬의 열로"
        " 복사합니다. 그러면 전체 출력이 <strong>행렬 곱 한 번</strong>으로 나옵니다."
    ),
    "r_input": "입력, 4 × 4",
    "r_kernel": "커널, 2 × 2",
    "r_columns": "열로 펼친 창: im2col(input)",
    "r_kernel_row": "한 행으로 편 커널",
    "r_product": "둘의 곱",
    "r_output": "출력, 3 × 3",
    "r_worked_caption": (
        "<code>npconv.im2col</code>로 계산한 값입니다. 표시한 창이 표시한 열이 되고, 거기서"
        " 표시한 출력이 나옵니다. 이웃한 창은 서로 겹치므로 입력값 하나가 최대 네 번"
        " 복사됩니다. 속도를 얻는 대신 메모리를 쓰는 셈입니다."
    ),
    "r_ten": "열 줄의 코드",
    "r_ten_text": (
        "순전파와 역전파 전부입니다. 기울기를 구하는 데 새로운 원리는 필요 없습니다. 출력은"
        " 커널에 대해 선형이므로 커널의 기울기는 같은 열과의 행렬 곱입니다. 출력은 열에"
        " 대해서도 선형이며, 열의 기울기는 <code>im2col</code>이 값을 읽어 온 자리에"
        " <code>col2im</code>으로 되돌려 더합니다. 아래 증명에서 실제로 실행한 코드입니다."
    ),
    # ---- 2 the proof -------------------------------------------------------------------
    "r_proof": "증명",
    "r_proof_text": (
        "계산은 정말 옳을까요? <code>conv2d_naive</code>의 반복문과"
        " <code>conv2d_im2col</code>의 행렬 곱은 계산 과정을 공유하지 않으므로, 두 결과가"
        " 일치한다는 것은 강한 근거입니다. 또한 층의 모든 기울기를 수치 미분과 비교합니다."
        " 수치 미분은 식을 어떻게 유도했는지 모른 채, 값을 하나씩 조금 바꾸고 손실"
        " <code>sum(y**2)</code>을 다시 계산할 뿐입니다."
    ),
    "r_proof_caption": ("<code>{layer}</code>, 입력 형상 {shape}, 표준 정규분포 데이터, float64."),
    "r_column_check": "확인",
    "r_column_figure": "측정값",
    "r_column_needed": "조건",
    "r_group_agreement": "naive와 im2col의 최대 차이",
    "r_group_shapes": "순전파와 역전파 결과의 형상",
    "r_group_gradients": "해석적 기울기와 수치 기울기의 차이(최댓값 대비)",
    "r_group_essence": "열 줄의 코드와 층의 상대 차이",
    "r_variants_caption": (
        "스트라이드, 팽창(dilation), 그룹, 비대칭 패딩으로 같은 확인을 되풀이했습니다. dX,"
        " dW, db는 각각 입력, 가중치, 편향의 기울기를 수치 미분과 비교한 값입니다."
    ),
    "r_yes": "통과",
    "r_no": "실패",
    # ---- 3 the photograph --------------------------------------------------------------
    "r_photo": "사진 한 장, 일곱 개의 커널",
    "r_photo_text": (
        "커널은 모든 창에 던지는 하나의 질문입니다. 이 부근은 전체적으로 얼마나 밝은가?"
        " 왼쪽보다 오른쪽이 더 밝은가? 여기 있는 일곱 커널은 사람이 고안한 것이고, 신경망은"
        " 자신의 커널을 스스로 학습합니다."
    ),
    "r_photo_alt": (
        "호수가 내려다보이는 중국 누각 사진 여덟 장: 원본, 흐림, 선명하게, 세로 윤곽선, 가로"
        " 윤곽선, 라플라시안, 엠보싱, 기울기의 크기."
    ),
    "r_photo_caption": (
        "scikit-learn의 <code>china.jpg</code>(640 × 427)를 색 채널별로 계산했습니다. 그림"
        " 위의 숫자는 가중치를 한 행씩 적은 것입니다. 가중치의 합이 0인 커널은 응답 0을 중간"
        " 회색에 두고, 응답의 98 %가 들어오도록 명암을 맞추었습니다. sobel-x는 기둥을"
        " 찾아내지만 처마는 놓치고, sobel-y는 그 반대입니다. 둘을 합친 크기(마지막 그림)는"
        " 양쪽을 모두 드러냅니다."
    ),
    "r_column_kernel": "커널",
    "r_column_does": "하는 일",
    "r_photo_yours": "내 이미지에 적용하기:",
    # ---- 4 the network -----------------------------------------------------------------
    "r_network": "숫자를 배우는 신경망",
    "r_network_text": (
        "8 × 8픽셀 손글씨 숫자 {train}장으로 학습하고, {test}장은 학습에 쓰지 않고 평가용으로"
        " 떼어 두었습니다. 두 쪽의 숫자별 비율은 같습니다. <code>ReLU</code>가 뒤따르는"
        " 합성곱 {convolutions}개 층, 풀링 {poolings}번, 선형 층 {linear}개를 거치면 이미지"
        " 한 장이 확률 열 개로 바뀝니다. Adam으로 {epochs}에포크 동안 학습했고 {seconds}초가"
        " 걸렸습니다."
    ),
    "r_curve": "학습 과정",
    "r_curve_alt": (
        "{epochs}에포크의 두 곡선. 손실은 줄어들고 정확도는 {accuracy} %까지 올라갑니다."
    ),
    "r_curve_caption": (
        "에포크마다의 손실(loss, 로그 눈금)과 정확도(accuracy)입니다. 학습은 일부러 어렵게"
        " 합니다. 이미지를 조금씩 돌리고 옮기며, 드롭아웃으로 신경망의 일부를 끕니다. 그래서"
        " 처음에는 평가(held out) 곡선이 학습(training) 곡선보다 오히려 좋습니다. 최종"
        " 정확도는 <strong>{accuracy} %</strong>로, 평가용 {count}장 가운데 {right}장을"
        " 맞혔습니다."
    ),
    "r_kernels": "무엇을 배웠나",
    "r_kernels_alt": "첫 번째 층의 3 × 3 커널 {count}개: 학습 전, 학습 후, 그 차이.",
    "r_kernels_caption": (
        "첫 번째 층의 커널 {count}개를 학습 전(before training), 학습 후(after training),"
        " 변화량(change) 순으로 나타냈습니다. 붉은색은 양수, 푸른색은 음수입니다. 커널은"
        " 생각보다 조금만 움직입니다. 무작위 커널도 이미 쓸 만한 질문이고, 뒤의 층이 그"
        " 응답을 읽는 법을 배우기 때문입니다. 한쪽이 푸르고 다른 쪽이 붉은 커널을"
        " 찾아보십시오. 위의 소벨 커널처럼 윤곽선에 반응하는 커널입니다."
    ),
    "r_maps": "무엇을 보는가",
    "r_maps_alt": "손글씨 숫자 {label}의 이미지와 합성곱 층들이 만든 특징 맵 {count}개.",
    "r_maps_caption": (
        "평가용 숫자 {label} 한 장이 신경망을 지나는 모습입니다. 첫 번째 합성곱 뒤의 특징"
        " 맵은 아직 숫자의 모양을 간직한 채 저마다 다른 윤곽선을 강조합니다. 그 뒤의 층에서는"
        " 값이 드문드문해지고, 짙은 칸은 어떤 획이 어디에 있는지를 알려 줍니다."
    ),
    "r_confusion": "무엇을 혼동하는가",
    "r_confusion_alt": (
        "실제 숫자와 예측한 숫자의 10 × 10 표. {count}장 중 {right}장이 대각선 위에 있습니다."
    ),
    "r_confusion_caption": (
        "행은 실제 숫자(true), 열은 신경망이 예측한 숫자(predicted)입니다. 대각선을 벗어난"
        " 칸은 모두 틀린 것입니다."
    ),
    "r_hardest": "어디서 틀리는가",
    "r_hardest_alt": ("실제 값과 예측 값을 적은 손글씨 숫자들. 그중 {wrong}장을 잘못 읽었습니다."),
    "r_hardest_caption": (
        "주황색은 잘못 읽은 숫자(모두 {wrong}장)로, 실제 숫자, 예측한 숫자, 그 확률을"
        " 적었습니다. 그 뒤는 맞히기는 했지만 가장 자신이 없었던 숫자들입니다. 사람이 보아도"
        " 망설일 만한 글씨가 많습니다."
    ),
    "r_hardest_caption_none": (
        "틀린 숫자가 없습니다. 맞혔지만 가장 자신이 없었던 숫자와 그 확률입니다."
    ),
    # ---- 5 again -----------------------------------------------------------------------
    "r_again": "직접 해 보기",
    "r_again_text": (
        "시드는 모두 고정되어 있습니다. 컴퓨터와 버전이 같으면 걸린 시간을 빼고 모든 수치가"
        " 똑같이 나옵니다."
    ),
    "r_made": (
        "npconv {npconv}, Python {python}, NumPy {numpy}, scikit-learn {sklearn}, {system},"
        " {date}에 만들었습니다."
    ),
    "r_data": (
        "숫자 데이터: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI"
        " Machine Learning Repository, 1998. 사진: scikit-learn의 china.jpg, danielbuechele"
        " 촬영, 크리에이티브 커먼즈 저작자표시 2.0(creativecommons.org/licenses/by/2.0),"
        " 커널을 적용해 변형함."
    ),
    "r_skip": "본문으로 바로 가기",
}
