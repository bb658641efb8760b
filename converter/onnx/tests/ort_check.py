"""Runs ONNX models through ONNX Runtime, for tests/ort.rs.

ort_check.py FOLDER: for every NAME.onnx in it, feeds NAME.in (float32, one
image in the model's own layout) and writes NAME.out (float32). Each model must
also satisfy onnx.checker, full check. Prints one line per model.
"""

import pathlib
import sys

import numpy
import onnx
import onnxruntime


def run(path):
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    # The operations as they stand: what the optimiser would fuse is not asked.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in image.shape]
    values = numpy.fromfile(path.with_suffix(".in"), "<f4").reshape(shape)
    (result,) = session.run(None, {image.name: values})
    result.astype("<f4").tofile(path.with_suffix(".out"))


def main():
    print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
        try:
            run(path)
        except Exception as error:  # Reported to the test, which fails.
            print("failed", path.name, repr(error))


main()
