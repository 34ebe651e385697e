"""English: the report of `npconv demo`. Texts are HTML; captions say what a picture teaches."""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "r_title": "Convolution, from the loops to a network that reads digits",
    "r_lead": (
        "Everything on this page was computed by <code>npconv</code> on this machine, from"
        " the definition of convolution to a small trained network: the same functions all"
        " the way."
    ),
    "r_language": "Language",
    "r_fact_checks": "checks hold",
    "r_fact_accuracy": "of the held-out digits read correctly",
    "r_fact_seconds": "of training",
    "r_fact_parameters": "parameters learned",
    "r_seconds": "{seconds} s",
    "r_count": "{n}",
    # ---- 1 the idea --------------------------------------------------------------------
    "r_idea": "The idea",
    "r_idea_text": (
        "A small array of weights, the <em>kernel</em>, slides over the input. At each place"
        " it is multiplied with the <em>window</em> under it, and the sum is one output. That"
        " is all convolution is. To compute it fast, <code>im2col</code> copies every window"
        " into a column of a matrix; then all outputs are <strong>one matrix"
        " product</strong>."
    ),
    "r_input": "input, 4 × 4",
    "r_kernel": "kernel, 2 × 2",
    "r_columns": "columns: im2col(input)",
    "r_kernel_row": "kernel as a row",
    "r_product": "their product",
    "r_output": "output, 3 × 3",
    "r_worked_caption": (
        "Computed here by <code>npconv.im2col</code>. The marked window is the marked column,"
        " and gives the marked output. Next to each other, windows overlap, so each input"
        " value is copied up to four times: memory is the price of speed."
    ),
    "r_ten": "Ten lines",
    "r_ten_text": (
        "Forward and backward, whole. The gradients need no new idea: the output is linear in"
        " the kernel, so its gradient is a product with the same columns; and it is linear in"
        " the columns, whose gradients <code>col2im</code> adds up where <code>im2col</code>"
        " had read them. This is the code that ran in the proof below."
    ),
    # ---- 2 the proof -------------------------------------------------------------------
    "r_proof": "The proof",
    "r_proof_text": (
        "Does it compute what it says? The loops of <code>conv2d_naive</code> and the matrix"
        " product of <code>conv2d_im2col</code> share no arithmetic, so their agreement says"
        " much. And each gradient of the layer is compared with finite differences, which"
        " know nothing of how it was derived: every number is nudged, and the loss"
        " <code>sum(y**2)</code> is computed again."
    ),
    "r_proof_caption": (
        "<code>{layer}</code> on an input of shape {shape}, standard normal data, float64."
    ),
    "r_column_check": "check",
    "r_column_figure": "figure",
    "r_column_needed": "needed",
    "r_group_agreement": "naive against im2col: largest difference",
    "r_group_shapes": "shapes after forward and backward",
    "r_group_gradients": "analytic against numeric gradients, relative to the largest",
    "r_group_essence": "the ten lines against the layer, relative",
    "r_variants_caption": (
        "The same eight checks with stride, dilation, groups and uneven padding. dX, dW and"
        " db are the gradients of input, weight and bias against finite differences."
    ),
    "r_yes": "holds",
    "r_no": "fails",
    # ---- 3 the photograph --------------------------------------------------------------
    "r_photo": "A photograph through seven kernels",
    "r_photo_text": (
        "A kernel is a question that is asked of every window: how bright on the whole?"
        " brighter on the right than on the left? These seven were thought out by people; a"
        " network learns its own."
    ),
    "r_photo_alt": (
        "The photograph of a Chinese pagoda above a lake, eight times: unchanged, blurred,"
        " sharpened, its vertical edges, its horizontal edges, its Laplacian, embossed, and"
        " the size of its slope."
    ),
    "r_photo_caption": (
        "<code>china.jpg</code> of scikit-learn, 640 × 427, each colour by itself. The"
        " weights stand row by row above each picture. Where they sum to 0, mid-grey is a"
        " response of 0 and the scale is such that 98 % of the responses fit. Sobel x sees"
        " the pillars and misses the eaves; Sobel y the reverse; their length together (last"
        " picture) sees both."
    ),
    "r_column_kernel": "kernel",
    "r_column_does": "what it does",
    "r_photo_yours": "On a picture of your own:",
    # ---- 4 the network -----------------------------------------------------------------
    "r_network": "A network learns digits",
    "r_network_text": (
        "{train} handwritten digits of 8 × 8 pixels to learn from; {test}, the same share of"
        " each digit, held out and never trained on. The network's {convolutions}"
        " convolutions, each with <code>ReLU</code>, {poolings} poolings and {linear} linear"
        " layers turn a picture into ten probabilities. Trained with Adam for {epochs}"
        " epochs: {seconds} s."
    ),
    "r_curve": "It learns",
    "r_curve_alt": (
        "Two curves over {epochs} epochs: the loss falls, the accuracy rises to {accuracy} %."
    ),
    "r_curve_caption": (
        "Loss (logarithmic) and accuracy after each epoch. Training is made harder on"
        " purpose: its pictures are turned and shifted a little, and dropout silences a part"
        " of the network. So at first the held-out curve is even the better one. At the end:"
        " <strong>{accuracy} %</strong> of the held-out digits, {right} of {count}."
    ),
    "r_kernels": "What it learned",
    "r_kernels_alt": (
        "The {count} kernels of the first layer as grids of 3 × 3 weights: before training,"
        " after it, and the change."
    ),
    "r_kernels_caption": (
        "The {count} kernels of the first layer; red weights are positive, blue ones"
        " negative. Training moves them less than one might think: random kernels are useful"
        " questions already, and the layers behind learn to read the answers. Look for"
        " kernels with blue on one side and red on the other: they answer to edges, as"
        " Sobel's do."
    ),
    "r_maps": "What it sees",
    "r_maps_alt": (
        "A handwritten {label} and the {count} feature maps that the convolutions make of it."
    ),
    "r_maps_caption": (
        "One held-out {label} on its way. After the first convolution the maps are still"
        " pictures of the digit, each with other edges marked. Behind the later ones they are"
        " sparse: a dark field says that a certain stroke is there, and where."
    ),
    "r_confusion": "What it confuses",
    "r_confusion_alt": (
        "A 10 × 10 table of true against predicted digits; {right} of {count} lie on the diagonal."
    ),
    "r_confusion_caption": (
        "Rows are the true digits, columns what the network said. All that is off the"
        " diagonal is a mistake."
    ),
    "r_hardest": "Where it errs",
    "r_hardest_alt": (
        "Handwritten digits with their true and predicted values; {wrong} of them were misread."
    ),
    "r_hardest_caption": (
        "In orange what it got wrong, {wrong} in all: the true digit, then what the network"
        " said, and how sure it was. After them those it got right with the least confidence."
        " Many would make a person hesitate too."
    ),
    "r_hardest_caption_none": (
        "It got none wrong. These are the digits it was least sure of, and how sure it was."
    ),
    # ---- 5 again -----------------------------------------------------------------------
    "r_again": "Do it again",
    "r_again_text": (
        "All seeds are fixed: the same machine and versions give the same numbers, the"
        " seconds apart."
    ),
    "r_made": (
        "Made by npconv {npconv} with Python {python}, NumPy {numpy} and scikit-learn"
        " {sklearn} on {system}, {date}."
    ),
    "r_data": (
        "Digits: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine"
        " Learning Repository, 1998. Photograph: china.jpg of scikit-learn, by"
        " danielbuechele, Creative Commons Attribution 2.0"
        " (creativecommons.org/licenses/by/2.0), filtered here."
    ),
    "r_skip": "Skip to the content",
}
