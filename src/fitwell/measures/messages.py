"""What the error messages of torch 2 (and of NumPy, where a tensor went through it) are about.

Each row is what the message is about, a pattern in it, and what to do, in which ``{1}`` is the first group of the
pattern. The first row that is found counts. The messages were raised with torch 2.13 on a CPU; those of GPUs and of
older versions are as their users report them.
"""

DEVICES, DTYPES, SHAPES = "devices", "dtypes", "shapes"
IN_PLACE, LABELS, INDICES = "a change in place", "labels", "indices"

_ONE_NUMBER = "reduce it to one number, such as by .mean()"
_LOGITS = "the loss takes [batch, classes] and class numbers [batch], or both of the same shape"
_SQUEEZE = (
    "give both the same shape: squeeze(-1) the one that has an axis of length 1 more, or unsqueeze the other"
)
_NO_IN_PLACE = "write x = x + y for x += y, and relu(x) for relu_(x)"
_TOO_SMALL = "the picture is too small here: take fewer pooling layers or strides, or larger pictures"

MESSAGES: tuple[tuple[str, str, str], ...] = (
    # Changes in place
    (IN_PLACE, r"has been modified by an inplace operation", _NO_IN_PLACE),
    (
        IN_PLACE,
        r"leaf Variable that requires grad is being used in an in-place operation",
        "change a parameter within torch.no_grad(), or make a new tensor from it",
    ),
    (IN_PLACE, r"is being modified inplace", _NO_IN_PLACE),
    (
        IN_PLACE,
        r"written-to tensor refers? to a single memory location",
        "clone() the expanded tensor before",
    ),
    (IN_PLACE, r"Inplace update to inference tensor", "clone() it, or use no_grad instead of inference_mode"),
    # Labels and indices
    (
        LABELS,
        r"^Target (-?\d+) is out of bounds",
        "number the classes from 0, or give the model more outputs",
    ),
    (LABELS, r"Class values must be", "number the classes from 0, and give one_hot their number"),
    (LABELS, r"^target out of range$", "number the classes from 0, or give the model more outputs"),
    (LABELS, r"`t >= 0 && t < n_classes`", "number the classes from 0, or give the model more outputs"),
    (
        LABELS,
        r"device-side assert triggered(?![\s\S]*input_val)",
        "run it on the CPU, or with CUDA_LAUNCH_BLOCKING=1, to see which label or index it is",
    ),
    (
        INDICES,
        r"^index out of range in self",
        "give nn.Embedding one row more than the largest index, or map rare indices to one row",
    ),
    (
        INDICES,
        r"takes value (-?\d+) which is not in the valid range \[0, (\d+)\)",
        "every index must be below {2}",
    ),
    (
        INDICES,
        r"^index (-?\d+) is out of bounds for dimension (\d+) with size (\d+)",
        "every index must be below {3}",
    ),
    # Devices
    (DEVICES, r"Expected all tensors to be on the same device", ""),
    (DEVICES, r"Input type \(torch\.(cuda|mps|xpu)\.\w+\) and weight type \(torch\.\w+Tensor\)", ""),
    (DEVICES, r"Input type \(torch\.\w+Tensor\) and weight type \(torch\.(cuda|mps|xpu)\.", ""),
    (DEVICES, r"Input type \(\w*MPS\w*\) and weight type|Mismatched Tensor types in NNPack", ""),
    (DEVICES, r"Tensor on device (\S+) is not on the expected device (\S+?)!", ""),
    (DEVICES, r"are not at the same device|must be on the same device|[Ee]xpected object of device type", ""),
    (DEVICES, r"is on (CPU|GPU), but expected (it|them) to be on", ""),
    (DEVICES, r"indices should be either on \S+ or on the same device", ""),
    (DEVICES, r"on device \S+ \(device_ids\[0\]\) but found one of them", ""),
    (DEVICES, r"Placeholder storage has not been allocated on MPS", ""),
    (DEVICES, r"can't convert \S+ device type tensor to numpy", "call .detach().cpu().numpy()"),
    (
        DEVICES,
        r"Expected an? '\w+' device type for generator",
        "make the generator on the device of the tensors",
    ),
    (
        DEVICES,
        r"Cannot copy out of meta tensor",
        "load the weights first, or use to_empty and initialize them",
    ),
    # Dtypes
    (DTYPES, r"expected (?:target dtype to be|scalar type) Long", "class numbers are int64: target.long()"),
    (
        DTYPES,
        r"Expected floating point type for target with class probabilities",
        "class numbers have one axis less than the outputs; give [batch] of them, or probabilities as floats",
    ),
    (DTYPES, r"to have one of the following scalar types: Long, Int", "indices are int64: x.long()"),
    (
        DTYPES,
        r"tensors used as indices must be|Expected dtype int\S* for index|index tensor of type LongTensor",
        "indices are int64: index.long()",
    ),
    (
        DTYPES,
        r"\"(?:nll_loss|host_softmax)\w*\" not implemented for '(\w+)'",
        "class numbers are int64: target.long()",
    ),
    (
        DTYPES,
        r"\"\w+\" not implemented for '(?:Half|BFloat16)'",
        "this cannot be done in half precision here: call .float() before",
    ),
    (DTYPES, r"\"\w+\" not implemented for '(?:Long|Int|Short|Char|Byte|Bool)'", "call .float() on it"),
    (DTYPES, r"\"\w+\" not implemented for '(\w+)'", "give it another type"),
    (DTYPES, r"[Ll]ong\b.*(?:!=|and) [Ff]loat", "call .float() on the whole numbers"),
    (
        DTYPES,
        r"can't convert np\.ndarray of type",
        "make numbers of texts and objects: array.astype(np.float32)",
    ),
    (DTYPES, r"floating point (?:and complex )?dtype can require gradients", "make it of floats: .float()"),
    (
        DTYPES,
        r"result type \w+ can't be cast to",
        "call .float() on the one of whole numbers",
    ),
    (DTYPES, r"with (?:a|two) bool tensors? is not supported", "call .float() on the masks"),
    (DTYPES, r"could not infer output dtype|Integral inputs not supported", "call .float() on it"),
    (
        DTYPES,
        r"[Dd]oubles?\b[\s\S]*\b[Ff]loat|[Ff]loat\b[\s\S]*\b[Dd]ouble\b|float64[\s\S]*float32",
        "NumPy's floats are float64: call .float() on the data",
    ),
    (
        DTYPES,
        r"have (?:the )?same d?type|dtype .* does not match .* dtype|expected scalar type \w+ but found",
        "",
    ),
    (
        DTYPES,
        r"Input type \(.+\) and (?:bias|weight) type \(.+\) should be the same",
        "call .float() on the input",
    ),
    (DTYPES, r"Found dtype \w+ but expected|must share same datatype|dtype to be equal to|dtypes match", ""),
    (DTYPES, r"expected dtype \w+ for .* but got dtype|must have the type .* got type|mixed dtype", ""),
    # Shapes
    (
        SHAPES,
        r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)",
        "the first has {2} columns and the second {3} rows, which must be equal",
    ),
    (
        SHAPES,
        r"must have same reduction dim, but got \[(\d+), (\d+)\] X \[(\d+), (\d+)\]",
        "the first has {2} columns and the second {3} rows, which must be equal",
    ),
    (
        SHAPES,
        r"expected input\[.*\] to have (\d+) channels, but got (\d+) channels",
        "give the layer {2} input channels",
    ),
    (SHAPES, r"running_mean should contain (\d+) elements not (\d+)", "give the normalization {1} features"),
    (SHAPES, r"Given normalized_shape=", "give LayerNorm the length of the last axis of its input"),
    (
        SHAPES,
        r"input\.size\(-1\) must be equal to input_size. Expected (\d+), got (\d+)",
        "give the layer input_size={2}",
    ),
    (SHAPES, r"inconsistent input_size: got (\d+) expected (\d+)", "give the cell input_size={1}"),
    (
        SHAPES,
        r"Expected hidden\[\d\] size",
        "make the hidden state for the batch at hand: the last one may be smaller",
    ),
    (SHAPES, r"expecting embedding dimension of (\d+), but got (\d+)", "give the attention embed_dim={2}"),
    (
        SHAPES,
        r"Expected input batch_size \((\d+)\) to match target batch_size \((\d+)\)",
        "the first axis must count the same samples; look for a view or reshape that moves samples",
    ),
    (SHAPES, r"[Uu]sing a target size|Target size \(.*\) must be the same", _SQUEEZE),
    (
        SHAPES,
        r"multi-target not supported|only batches of spatial targets|size mismatch \(got input",
        _LOGITS,
    ),
    (
        SHAPES,
        r"can be implicitly created only for scalar outputs|elements? cannot be converted to Scalar",
        _ONE_NUMBER,
    ),
    (SHAPES, r"only one element tensors can be converted", _ONE_NUMBER),
    (SHAPES, r"Boolean value of Tensor with more than one value", "ask for .any() or .all() of it"),
    (
        SHAPES,
        r"stack expects each tensor to be equal size|list of batch should be of equal size",
        "samples of a batch must have one size: crop or pad them, or give DataLoader a collate_fn",
    ),
    (SHAPES, r"view size is not compatible", "use .reshape(...), or call .contiguous() before .view(...)"),
    (
        SHAPES,
        r"shape '.*' is invalid for input of size (\d+)",
        "the new sizes must multiply to {1}; -1 stands for one",
    ),
    (SHAPES, r"Kernel size can't be greater|Output size is too small", _TOO_SMALL),
    (
        SHAPES,
        r"output with shape .* doesn't match the broadcast shape",
        "one value a channel: is the picture grey?",
    ),
    (SHAPES, r"size of tensor a \(\d+\) must match the size of tensor b", ""),
    (SHAPES, r"Sizes of tensors must match except in dimension|same number of dimensions", ""),
    (SHAPES, r"size mismatch for \S+: copying a param", "make the model as it was when it was saved"),
    (
        SHAPES,
        r"[Ss]ize mismatch|[Ss]hape mismatch|Mismatch in shape|mismatch in shape|inconsistent tensor size",
        "",
    ),
    (SHAPES, r"[Ee]xpected \S+ ?.*(?:input to \w+, but got|D input \(got)|Expected input to be .*D", ""),
    (
        SHAPES,
        r"must match the existing size|Dimension out of range|too many indices for tensor|shape of the mask",
        "",
    ),
    (
        SHAPES,
        r"size for first two dimensions|must be a (?:matrix|3D tensor)|1D tensors expected|D tensors? expected",
        "",
    ),
    (
        SHAPES,
        r"einsum\(\): |Size does not match at dimension|dims don't match|number of dimensions in the",
        "",
    ),
    (SHAPES, r"cannot be broadcast to indexing result|could not be broadcast together|not broadcastable", ""),
    (
        SHAPES,
        r"expects split_sizes to sum|don't multiply up to|k out of range|should be defined either for all",
        "",
    ),
    (
        SHAPES,
        r"numbers and input channel size|divisible by num_groups|number of src and tgt must|to be 3-D but",
        "",
    ),
    (
        SHAPES,
        r"Expected tensor to have size (\d+) at dimension|Padding size should be less|expected sequence of length",
        "",
    ),
    (SHAPES, r"hx should also be|Expected target size", ""),
)
