"""What OpenVINO executes: one fused primitive, read from a compiled model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supernet.errors import OvnasError

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["ExecutedKernel", "Kernel", "axes_of", "bytes_of", "read_kernels"]

# Entries of the runtime model that are no work: graph ends, and constants prepared at compile time.
_NO_WORK = {"Const", "Input", "Output", "Parameter", "Result"}
_BYTES = {"u8": 1, "i8": 1, "boolean": 1, "f16": 2, "bf16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8}


@dataclass(frozen=True)
class Kernel:
    """The shape of one kernel: everything that a predictor may know of it before it runs.

    Channels, heights and widths are those of the first data input and of the output (1 where the
    tensor has no such dimension), as `axes_of` places them. `in_per_group` is the number of input
    channels that one output channel sees, 0 for a kernel without weights. `n_inputs` counts data inputs:
    2 for a convolution with a fused residual addition. `n_fused` counts the author's operations in it.
    """

    kind: str
    batch: int
    in_channels: int
    in_height: int
    in_width: int
    out_channels: int
    out_height: int
    out_width: int
    kernel_height: int
    kernel_width: int
    in_per_group: int
    n_inputs: int
    n_fused: int
    in_precision: str
    out_precision: str

    @property
    def macs(self) -> int:
        """Multiply-accumulates; 0 for a kernel without weights."""
        pixels = self.batch * self.out_height * self.out_width
        if self.kind == "Deconvolution":  # each input pixel meets the whole kernel
            pixels = self.batch * self.in_height * self.in_width
        return pixels * self.out_channels * self.in_per_group * self.kernel_height * self.kernel_width

    @property
    def bytes_moved(self) -> int:
        """Bytes of all inputs, of the weights and of the output, each touched once: the least possible."""
        size_in, size_out = bytes_of(self.in_precision), bytes_of(self.out_precision)
        values_in = self.batch * self.in_channels * self.in_height * self.in_width
        values_out = self.batch * self.out_channels * self.out_height * self.out_width
        weights = self.out_channels * self.in_per_group * self.kernel_height * self.kernel_width
        # A residual addition reads what is as large as the output; all that is joined makes the output.
        others = max(0, self.n_inputs - 1) * values_out
        if self.kind == "Concatenation":
            others = values_out - values_in
        return size_in * (values_in + weights) + size_out * (values_out + others)


@dataclass(frozen=True)
class ExecutedKernel:
    """A kernel as the plugin runs it. `in_layout` and `layout` are those of its first data input and its
    output; `originals` are the operations fused into it; `sources` are the positions of the kernels whose
    outputs it reads (-1: the network's input), `port` is which output of the first of them."""

    name: str
    kernel: Kernel
    exec_type: str
    in_layout: str
    layout: str
    originals: tuple[str, ...]
    sources: tuple[int, ...]
    port: int
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]


def bytes_of(precision: str) -> int:
    """The size of one value, that of f32 for an unknown precision. The weights of a kernel are as large as
    the values that it reads: one byte where it computes in INT8."""
    return _BYTES.get(precision, _BYTES["f32"])


def axes_of(kind: str, rank: int) -> tuple[int, ...]:
    """The axes of a tensor that hold batch, channels, height and width, as many as there are. Those of a
    linear layer are last, whatever precedes them; of other kinds nothing is known, and they are second."""
    if kind == "FullyConnected" and rank > 2:
        return (0, rank - 1, *range(1, rank - 1))[:4]
    return tuple(range(min(rank, 4)))


def read_kernels(compiled: ov.CompiledModel) -> list[ExecutedKernel]:
    """The executed kernels of a compiled model, in execution order."""
    places: dict[str, int] = {}
    found: list[ExecutedKernel] = []
    for node in compiled.get_runtime_model().get_ordered_ops():
        name, info = node.get_friendly_name(), node.get_rt_info()
        kind = _fact(info, "layerType")
        inputs = [value.get_node().get_friendly_name() for value in node.input_values()]
        if kind in ("Input", "Parameter") and not inputs:
            places[name] = -1
            continue
        sources = tuple(places[i] for i in inputs if i in places)
        if kind in _NO_WORK or not sources:
            continue
        places[name] = len(found)
        found.append(_executed(node, info, kind, sources, inputs, places, found))
    return found


def _executed(
    node: Any,
    info: Any,
    kind: str,
    sources: tuple[int, ...],
    inputs: list[str],
    places: dict[str, int],
    found: list[ExecutedKernel],
) -> ExecutedKernel:
    first = next(i for i, name in enumerate(inputs) if name in places)
    in_shape = tuple(node.input(first).get_shape())
    out_shape = tuple(node.output(0).get_shape())
    originals = tuple(n for n in _fact(info, "originalLayersNames").split(",") if n)
    in_per_group, height, width = 0, 1, 1
    if kind == "FullyConnected" or (kind == "MatMul" and len(sources) == 1):
        in_per_group = in_shape[-1]
    elif kind in ("Convolution", "Deconvolution") and first + 1 < len(inputs):
        weights = tuple(node.input(first + 1).get_shape())
        spatial = len(in_shape) - 2
        if spatial > 2:
            raise OvnasError(
                f"{originals[0] if originals else node.get_friendly_name()} is a convolution over {spatial} "
                "dimensions; only those over one or two are known"
            )
        in_per_group = weights[-spatial - (2 if kind == "Deconvolution" else 1)]
        height, width = (1, 1, *weights[-spatial:])[-2:]
    batch, in_channels, in_height, in_width = _sides(kind, in_shape)
    _, out_channels, out_height, out_width = _sides(kind, out_shape)
    previous = found[sources[0]].kernel.out_precision if sources[0] >= 0 else "f32"
    kernel = Kernel(
        kind=kind,
        batch=batch,
        in_channels=in_channels,
        in_height=in_height,
        in_width=in_width,
        out_channels=out_channels,
        out_height=out_height,
        out_width=out_width,
        kernel_height=height,
        kernel_width=width,
        in_per_group=in_per_group,
        n_inputs=len(sources),
        n_fused=max(1, len(originals)),
        in_precision=previous,
        out_precision=_fact(info, "outputPrecisions").split(",")[0],
    )
    return ExecutedKernel(
        node.get_friendly_name(),
        kernel,
        _fact(info, "primitiveType"),
        _fact(node.input_value(first).get_node().get_rt_info(), "outputLayouts").split(",")[0],
        _fact(info, "outputLayouts").split(",")[0],
        originals,
        sources,
        node.input_value(first).get_index(),
        in_shape,
        out_shape,
    )


def _sides(kind: str, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    sides = [int(shape[axis]) for axis in axes_of(kind, len(shape))]
    batch, channels, height, width = [*sides, 1, 1, 1, 1][:4]
    return batch, channels, height, width


def _fact(info: Any, key: str) -> str:
    return str(info[key].astype(str)) if key in info else ""
