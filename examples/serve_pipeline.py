"""Serve a fitted Pipeline from web workers that never import TensorFlow.

Fit and store the Pipeline in one process, serve it from others, and ask for the class of 64 pixels:

    python serve_pipeline.py
    OMP_NUM_THREADS=1 gunicorn --workers 4 --preload "serve_pipeline:create_app('digits.skops')"
    curl --data "[[$(seq -s, 64)]]" 127.0.0.1:8000

TensorFlow would cost each worker 600 MB and seconds to start. Encoding needs only NumPy. The
Pipeline is loaded once, before gunicorn forks its workers, and all of them share it.
"""

# %%
# The file holds arrays and parameters, and names one type beyond NumPy and scikit-learn. skops
# loads that type and no other, so a file from elsewhere can't run code as a pickle can.
import json
import sys

import numpy as np
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skae import AutoencoderTransformer

TRUSTED = ["skae._autoencoder.AutoencoderTransformer"]
MAX_BYTES = 2**20


def fit_and_store(path, reducer):
    X, y = load_digits(return_X_y=True)
    classifier = LogisticRegression(max_iter=1000)
    pipe = make_pipeline(MinMaxScaler(), reducer, classifier).fit(X[:1500], y[:1500])
    skops.io.dump(pipe, path)
    return pipe.score(X[1500:], y[1500:])


# %%
# WSGI servers call this app with rows as JSON, and get labels and probabilities back. The Pipeline
# itself says what is wrong with rows of another width or with NaN.
def create_app(path):
    pipe = skops.io.load(path, trusted=TRUSTED)

    def predict(body):
        probabilities = pipe.predict_proba(np.asarray(json.loads(body), dtype=np.float64))
        labels = pipe.classes_[probabilities.argmax(axis=1)]
        return {"labels": labels.tolist(), "probabilities": probabilities.round(6).tolist()}

    def app(environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        status, answer = "413 Content Too Large", {"error": f"At most {MAX_BYTES} bytes."}
        if length <= MAX_BYTES:
            try:
                status, answer = "200 OK", predict(environ["wsgi.input"].read(length))
            except (TypeError, ValueError, RecursionError) as error:
                status, answer = "400 Bad Request", {"error": str(error)}
        content = json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
        start_response(status, headers)
        return [content]

    return app


# %%
# Only fitting needs TensorFlow.
if __name__ == "__main__":
    path = sys.argv[1] if len(sys.argv) > 1 else "digits.skops"
    accuracy = fit_and_store(path, AutoencoderTransformer(16, random_state=0))
    print(f"Pipeline: {path}, accuracy {accuracy:.3f} on 297 held-out digits")
