#!/usr/bin/env bash
# What every machine of a run does: meet the others by torchrun's rendezvous, and train. All settings come from the
# environment; train.slurm and train-job.yaml set those that only the cluster knows. See README.md beside this file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${RECIPE:?Set RECIPE to a file of settings, for instance labs/recipes/nano.yaml}"
: "${OUT:?Set OUT to the folder of the run, on a disk that all machines share}"
index="${JOB_COMPLETION_INDEX:-${SLURM_NODEID:-0}}" # of this machine; the first one holds the rendezvous
is_host=false
if [ "$index" -eq 0 ]; then is_host=true; fi

meeting=(--nnodes="${NODES:-1}" --nproc-per-node="${PROCESSES:-auto}")
meeting+=(--rdzv-backend=c10d --rdzv-id="${RUN_ID:-course}" --rdzv-endpoint="${ENDPOINT:-127.0.0.1:29400}")
meeting+=(--rdzv-conf="is_host=$is_host,join_timeout=${JOIN_SECONDS:-600}" --max-restarts=0)
meeting+=(--shutdown-timeout="${SAVE_SECONDS:-110}") # torchrun kills after 30 seconds, too soon for a large checkpoint
if [ -n "${LOCAL_ADDR:-}" ]; then meeting+=(--local-addr="$LOCAL_ADDR"); fi

# begun before, so it goes on; no process writes this file until all have met
resume=false
if [ -f "$OUT/last.safetensors" ]; then resume=true; fi

read -r -a more <<<"${SETTINGS:-}" # such as: batch_size=4 accumulate=8
exec "${PYTHON:-python}" -m torch.distributed.run "${meeting[@]}" -m tools train "recipe=$RECIPE" "out=$OUT" \
    "parallel=${PARALLEL:-fsdp}" "resume=$resume" ${more[@]+"${more[@]}"}
