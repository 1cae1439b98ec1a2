#!/usr/bin/env python3
"""Makes what networks are compared with: data/networks/operators.onnx, and what onnxruntime gives for each network.

usage: make_network_samples.py FOLDER ONNXRUNTIME      (python3-onnx; a folder with node_modules/onnxruntime-node)

operators.onnx applies one operator after the other to one image, each output named after what it shows. NAME.npz
has the input of NAME.onnx and its outputs.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RUN = """
const ort = require('onnxruntime-node'), fs = require('fs');
(async () => {
  const [model, input, folder, dims] = process.argv.slice(1);
  const session = await ort.InferenceSession.create(model, {graphOptimizationLevel: 'disabled'});
  const raw = fs.readFileSync(input);
  const x = new ort.Tensor('float32', new Float32Array(raw.buffer, raw.byteOffset, raw.length / 4), JSON.parse(dims));
  const made = await session.run({[session.inputNames[0]]: x}), shapes = {};
  for (const [name, v] of Object.entries(made)) {
    shapes[name] = v.dims;
    fs.writeFileSync(folder + '/' + name, Buffer.from(v.data.buffer, v.data.byteOffset, v.data.byteLength));
  }
  console.log(JSON.stringify(shapes));
})();
"""


class Operators:
    """A graph that grows output by output."""

    def __init__(self):
        self.random = np.random.default_rng(1)
        self.nodes, self.tensors, self.outputs = [], [], []

    def tensor(self, values):
        name = f"t{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weight(self, *shape):
        return self.tensor(self.random.normal(0, 0.5, shape).astype(np.float32))

    def add(self, output, op, *inputs, show=True, outputs=None, **attributes):
        outputs = outputs or [output]
        inputs = [i if isinstance(i, str) else self.tensor(i) for i in inputs]
        self.nodes.append(helper.make_node(op, inputs, outputs, output, **attributes))
        if show:
            self.outputs += outputs

    def model(self):
        value = helper.make_tensor_value_info
        outputs = [value(name, TensorProto.FLOAT, None) for name in self.outputs]
        graph = helper.make_graph(self.nodes, "operators", [value("x", TensorProto.FLOAT, [2, 4, 7, 6])], outputs, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def operators():
    o = Operators()
    w, ints, floats = o.weight, lambda *v: np.array(v, np.int64), lambda *v: np.array(v, np.float32)
    o.add("conv", "Conv", "x", w(5, 4, 3, 3), w(5), pads=[1, 0, 2, 1], strides=[2, 1])
    o.add("conv_dilated", "Conv", "x", w(3, 4, 2, 3), dilations=[2, 2], pads=[0, 1, 1, 2])
    o.add("conv_groups", "Conv", "x", w(6, 2, 3, 3), w(6), group=2, pads=[1, 1, 1, 1], strides=[1, 2])
    o.add("conv_depthwise", "Conv", "x", w(4, 1, 3, 2), group=4, dilations=[2, 1], pads=[2, 1, 0, 0])
    o.add("conv_same_upper", "Conv", "x", w(2, 4, 4, 3), auto_pad="SAME_UPPER", strides=[2, 2])
    o.add("conv_same_lower", "Conv", "x", w(2, 4, 4, 3), auto_pad="SAME_LOWER", strides=[2, 2])
    o.add("conv_transpose", "ConvTranspose", "x", w(4, 3, 3, 2), w(3), strides=[2, 2], pads=[1, 0, 0, 1], output_padding=[1, 0])
    o.add("rows", "Reshape", "x", ints(2, 4, -1), show=False)
    o.add("conv_line", "Conv", "rows", w(3, 4, 5), strides=[3], pads=[2, 1])
    o.add("batch_norm", "BatchNormalization", "conv", w(5), w(5), w(5), floats(0.5, 1, 2, 0.1, 3), epsilon=0.01)
    o.add("max_pool", "MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 1, 1, 0], ceil_mode=1)
    o.add("max_pool_dilated", "MaxPool", "x", kernel_shape=[2, 2], dilations=[3, 2])
    o.add("average_pool", "AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    o.add("average_pool_with_pads", "AveragePool", "x", kernel_shape=[3, 3], strides=[1, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    o.add("global_average", "GlobalAveragePool", "x")
    o.add("global_most", "GlobalMaxPool", "x")
    for name in ("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Neg", "Abs", "Floor", "HardSwish", "HardSigmoid"):
        o.add(name.lower(), name, "x")
    o.add("leaky", "LeakyRelu", "x", alpha=0.2)
    o.add("root", "Sqrt", "abs")
    o.add("log", "Log", "exp")
    o.add("one_over", "Reciprocal", "exp")
    o.add("clip", "Clip", "x", np.float32(-0.3), np.float32(0.6))
    o.add("clip_above", "Clip", "x", "", np.float32(0.2))
    o.add("add_channels", "Add", "x", w(4, 1, 1))
    o.add("sub_wider", "Sub", w(3, 1, 1, 1, 6), "x")
    o.add("mul_columns", "Mul", "x", w(6))
    o.add("div", "Div", "x", "exp")
    o.add("pow", "Pow", "exp", floats(1.7))
    o.add("square", "Pow", "x", floats(2))
    o.add("is_more", "Greater", "x", floats(0.1), show=False)
    o.add("where", "Where", "is_more", "x", w(7, 1))
    o.add("matmul", "MatMul", "x", w(6, 5))
    o.add("turned", "Transpose", "x", perm=[0, 1, 3, 2])
    o.add("matmul_both", "MatMul", "x", "turned")
    o.add("first_image", "Slice", "turned", ints(0), ints(1), show=False)
    o.add("matmul_broadcast", "MatMul", "x", "first_image")
    o.add("flat", "Flatten", "x", axis=1, show=False)
    o.add("gemm", "Gemm", "flat", w(168, 3), w(3), alpha=0.5, beta=2.0)
    o.add("gemm_turned", "Gemm", "flat", w(3, 168), w(2, 1), transB=1)
    o.add("softmax_last", "Softmax", "x", axis=-1)
    o.add("softmax_channels", "Softmax", "x", axis=1)
    o.add("layer_norm", "LayerNormalization", "x", w(7, 6), w(7, 6), axis=2, epsilon=0.001)
    o.add("mean", "ReduceMean", "x", axes=[1, -1])
    o.add("mean_of_all", "ReduceMean", "x", keepdims=0)
    o.add("sum", "ReduceSum", "x", ints(2), keepdims=0)
    o.add("most", "ReduceMax", "x", axes=[2, 3])
    o.add("least", "ReduceMin", "x", axes=[0])
    o.add("slice", "Slice", "x", ints(5, 1, -1), ints(-100, 9, 0), ints(2, 1, -1), ints(-2, 1, -2))
    o.add("gather", "Gather", "x", np.array([[3, -1], [0, 0]], np.int64), axis=1)
    o.add("split", "Split", "x", ints(1, 5), axis=-1, outputs=["split_one", "split_five"])
    o.add("split_even", "Split", "x", axis=1, outputs=["split_a", "split_b"])
    o.add("concat", "Concat", "x", "relu", "split_five", axis=3)
    o.add("unsqueezed", "Unsqueeze", "mean", ints(0, -1))
    o.add("squeezed", "Squeeze", "mean", ints(1))
    o.add("expand", "Expand", "mean", ints(3, 1, 4, 1, 2))
    o.add("pad", "Pad", "x", ints(0, 1, 0, 2, 0, 0, 1, 0), np.float32(0.25))
    for i, (place, nearest) in enumerate([("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("align_corners", "ceil")]):
        o.add(f"nearest_{i}", "Resize", "x", "", floats(1, 1, 1.6, 0.5), coordinate_transformation_mode=place, nearest_mode=nearest)
    for place in ("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"):
        o.add("linear_" + place, "Resize", "x", "", "", ints(2, 4, 10, 4), mode="linear", coordinate_transformation_mode=place)
    return o.model()


def reference(folder, name, dims, runtime):
    x = np.random.default_rng(2).normal(0, 1, dims).astype(np.float32)
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        (made / ".input").write_bytes(x.tobytes())
        arguments = [folder / f"{name}.onnx", made / ".input", made, json.dumps(dims)]
        shapes = json.loads(subprocess.run(["node", "-e", RUN, *map(str, map(lambda a: a.resolve() if isinstance(a, pathlib.Path) else a, arguments))],
                                           cwd=runtime, check=True, capture_output=True, text=True).stdout)
        outputs = {n: np.frombuffer((made / n).read_bytes(), np.float32).reshape(s) for n, s in shapes.items()}
    np.savez(folder / f"{name}.npz", input=x, **outputs)
    print(name, len(outputs), "outputs")


def main():
    folder, runtime = map(pathlib.Path, sys.argv[1:])
    onnx.save(operators(), str(folder / "operators.onnx"))
    for name, dims in (("operators", [2, 4, 7, 6]), ("residual", [2, 1, 24, 24]), ("vit", [2, 1, 24, 24])):
        reference(folder, name, dims, runtime)


if __name__ == "__main__":
    main()
