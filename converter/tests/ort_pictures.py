#!/usr/bin/env python3
"""Our float path against ONNX Runtime, on pictures.

    pip install onnxruntime numpy pillow
    python3 converter/tests/ort_pictures.py target/release/bitat tf MODEL.onnx PICTURE...

Both get the same pixels; a network that ends in a softmax is compared in
probabilities. Exits with 1 if a value differs by more than 1e-4, with 77 if a
package is missing, and says so.
"""
import json
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnxruntime
    from PIL import Image
except ImportError as missing:
    print(f"NOT RUN: {missing}")
    sys.exit(77)

PREPROCESS = {
    "tf": (127.5, 127.5),
    "unit": (0.0, 255.0),
    "raw": (0.0, 1.0),
}


def main():
    bitat, preprocess, model, *pictures = sys.argv[1:]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    _, channels, height, width = entry.shape
    mean, std = PREPROCESS[preprocess]
    worst, same = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        files, inputs = [], []
        for i, picture in enumerate(pictures):
            image = Image.open(picture).convert("RGB" if channels == 3 else "L")
            image = image.resize((width, height))
            files.append(f"{folder}/{i}.png")
            image.save(files[-1])
            pixels = np.asarray(image, dtype=np.float32).reshape(height, width, channels)
            inputs.append(((pixels - mean) / std).transpose(2, 0, 1)[None])
        command = [bitat, "run", model, *files, "--preprocess", preprocess, "--logits", "--json"]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results = json.loads(answer.splitlines()[-1])["results"]
        for result, x in zip(results, inputs):
            expected = session.run(None, {entry.name: x})[0].reshape(-1).astype(np.float64)
            found = np.array(result["logits"])
            if abs(expected.sum() - 1) < 1e-4 and expected.min() >= 0:
                found = np.exp(found - found.max())
                found /= found.sum()
            worst = max(worst, float(np.abs(found - expected).max()))
            same += int(found.argmax() == expected.argmax())
    print(f"{model}: {len(files)} pictures, worst difference {worst:.2e}, same class {same}")
    return 0 if worst <= 1e-4 and same == len(files) else 1


sys.exit(main())
