#!/bin/bash
# An interactive allocation: salloc --nodes=2 --ntasks-per-node=1 --exclusive ./interactive.sh
# A shell in which `drover` knows the hosts of the allocation; they are given back when it ends.
export DROVER_INSTANCE=slurm-$SLURM_JOB_ID
drover up || exit 1
trap 'drover down --kill-jobs' EXIT
drover nodes
"${SHELL:-/bin/bash}"
