#!/usr/bin/env bash
# Serve a GPT-2 to many people at once, on GPUs, with vLLM: one engine a GPU, requests joined into batches as they
# come. Settings come from the environment; a key for callers in VLLM_API_KEY, which vLLM reads by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${MODEL:?Set MODEL to a size, a folder or a file of weights, for instance small or runs/nano}"
folder="${FOLDER:-runs/served}" # where weights, config and tokenizer are put for vLLM
"${PYTHON:-python}" -m tools convert "$MODEL" --out "$folder" --dtype float16
exec vllm serve "$folder" --served-model-name "${NAME:-gpt2}" --dtype "${DTYPE:-half}" \
    --max-model-len "${CONTEXT:-1024}" --max-num-seqs "${AT_ONCE:-256}" \
    --data-parallel-size "${GPUS:-1}" --host "${HOST:-127.0.0.1}" --port "${PORT:-8000}"
