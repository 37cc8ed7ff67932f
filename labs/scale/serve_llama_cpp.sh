#!/usr/bin/env bash
# Serve a GPT-2 from a GGUF file with llama.cpp's own server: CPUs suffice. Settings come from the environment; a key
# for callers in LLAMA_API_KEY, which the server reads by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${MODEL:?Set MODEL to a size, a folder or a file of weights, for instance small or runs/nano}"
file="${FILE:-runs/served.gguf}" at_once="${AT_ONCE:-8}" context="${CONTEXT:-1024}"
"${PYTHON:-python}" -c "
import sys
from utils.formats.gguf_writer import save_gguf
from utils.loaders import load_gpt2
save_gguf(load_gpt2(sys.argv[1]), *sys.argv[2:])" "$MODEL" "$file" "${KIND:-Q8_0}"
# the server parts its whole context among those who talk at once
exec llama-server --model "$file" --parallel "$at_once" --ctx-size "$((at_once * context))" --metrics \
    --threads "${THREADS:--1}" --host "${HOST:-127.0.0.1}" --port "${PORT:-8080}"
