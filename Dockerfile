# The operator's image: docker build -t disvc-manager:0.1.0 .
FROM python:3.13-slim AS build
COPY . /source
RUN python -m venv /operator \
 && /operator/bin/pip install --no-cache-dir --constraint /source/hack/constraints.txt /source

FROM python:3.13-slim
COPY --from=build /operator /operator
ENV PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["/operator/bin/disvc-manager"]
