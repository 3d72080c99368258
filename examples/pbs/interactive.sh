#!/bin/bash
# An interactive allocation: qsub -I -l select=2:ncpus=8 -l place=excl, and there: ./interactive.sh
export DROVER_INSTANCE=pbs-${PBS_JOBID%%.*}
drover up || exit 1
trap 'drover down --kill-jobs' EXIT
drover nodes
"${SHELL:-/bin/bash}"
