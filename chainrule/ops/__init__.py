"""Pure array functions, one equation each."""
from chainrule.ops.attention import dot_product_attention
from chainrule.ops.convolution import convolve, convolve2d, convolve_depthwise, convolve_transposed
from chainrule.ops.dense import dense
from chainrule.ops.filters import kernel_names, named_kernel
from chainrule.ops.pooling import average_pool, average_pool2d, max_pool, max_pool2d
from chainrule.ops.recurrence import gru, lstm, simple_recurrence
from chainrule.ops.resizing import resize

__all__ = [
    "average_pool",
    "average_pool2d",
    "convolve",
    "convolve2d",
    "convolve_depthwise",
    "convolve_transposed",
    "dense",
    "dot_product_attention",
    "gru",
    "kernel_names",
    "lstm",
    "max_pool",
    "max_pool2d",
    "named_kernel",
    "resize",
    "simple_recurrence",
]
