#!/usr/bin/env bash
# A manifest over the nodes of a Slurm cluster, without Ray: each task of the array speaks one line in N into one folder
# that all nodes share. A task that is preempted or killed goes on where it was when Slurm starts it again.
#
#   sbatch --export=ALL,MANIFEST=lines.jsonl,WEIGHTS=weights/cosyvoice3,OUT=speech deploy/slurm_batch.sh
#
# A folder takes one N at a time: to change it, wait for the array to end, and submit again with another --array.
#SBATCH --job-name=cosy-jax
#SBATCH --array=0-15
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output=cosy-jax-%A-%a.log
set -euo pipefail

# --signal: two minutes before the end, the lines that are begun are finished and written.
exec srun cosy-jax batch "$MANIFEST" --weights "$WEIGHTS" --out "$OUT" --dtype bfloat16 \
    --num-shards "$SLURM_ARRAY_TASK_COUNT" --shard-index "$SLURM_ARRAY_TASK_ID"
