"""The operators that a network from elsewhere may use.

They compute tensors from tensors and do nothing else. PyTorch has others: `aten::from_file`
reads and `aten::save` writes a file of any name, and an exported program can name any
function that is reachable from the module `torch`, `os.system` among them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ALLOWED_OPERATORS"]

#: Names in the aten namespace; a trailing underscore means "in place"; the
#: first line is of lists and numbers, in TorchScript.
ALLOWED_OPERATORS: Final = frozenset(
    """
    __contains__ __getitem__ __is__ __isnot__ __not__ append dim format len
    _adaptive_avg_pool2d _convolution _native_batch_norm_legit_no_training _softmax
    _to_copy _unsafe_view _upsample_bilinear2d_aa abs adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_max_pool2d add add_ addmm alias amax amin arange argmax as_tensor avg_pool2d
    avg_pool3d batch_norm bmm broadcast_tensors cat ceil celu channel_shuffle chunk clamp clamp_
    clamp_max clamp_min clone concat constant_pad_nd contiguous conv1d conv2d conv3d
    conv_transpose2d convolution cos cumsum detach div div_ dropout dropout_ einsum elu elu_ eq
    exp expand expand_as feature_dropout flatten flip floor floor_divide full full_like gather ge
    gelu getitem group_norm grid_sampler grid_sampler_2d gru gt hardsigmoid hardsigmoid_
    hardswish hardswish_ hardtanh hardtanh_ index index_select instance_norm layer_norm le
    leaky_relu leaky_relu_ lift_fresh_copy linear linspace log log_softmax logical_and
    logical_not logical_or logsumexp lstm lt masked_fill matmul max max_pool2d
    max_pool2d_with_indices max_pool3d maximum mean meshgrid min minimum mish mish_ mm mul mul_
    multiply narrow native_batch_norm native_group_norm native_layer_norm ne neg new_full
    new_ones new_zeros norm ones ones_like pad permute pixel_shuffle pixel_unshuffle pow prelu
    reciprocal reflection_pad2d relu relu6 relu6_ relu_ remainder repeat repeat_interleave
    replication_pad2d reshape reshape_as rms_norm roll round rsqrt rsub
    scaled_dot_product_attention select selu selu_ sigmoid sigmoid_ sign silu silu_ sin size
    slice softmax softplus split split_with_sizes sqrt square squeeze stack std sub sub_ sum
    sym_size t tanh tanh_ tile to topk transpose true_divide type_as unbind unflatten unfold
    unsqueeze upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var view view_as where
    zeros zeros_like
    """.split()  # noqa: SIM905 - two hundred names read better without quotes
)
