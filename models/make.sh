#!/bin/sh
# Remake the shipped network from KITTI's frames: bags, dense network, masks, compact network.
#   models/make.sh KITTI RUNS    KITTI holds raw/, object/ and odometry/; RUNS is made
# Its trainings took 74 minutes of one thread each, beside other work, on a processor that computes
# in bfloat16; longer elsewhere. Killed at any moment, the same command goes on where it was.
set -eu
KITTI=$1
RUNS=$2
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PATH=$ROOT/.venv/bin:$PATH
CONFIG=$ROOT/config

bag() {  # NAME COMMAND...: make the bag unless it is there
    name=$1; shift
    [ -e "$RUNS/bags/$name" ] || depth-prune bag "$@" --images jpeg
}
raw() { bag "$1" kitti "$KITTI/raw/2011_09_26/2011_09_26_drive_$1_sync" "$RUNS/bags/$1"; }

mkdir -p "$RUNS/bags"
for drive in 0005 0001 0013 0002 0048 unknown; do raw $drive; done
bag object kitti "$KITTI/object/training" "$RUNS/bags/object"
for number in 06 01; do
    bag odometry$number kitti "$KITTI/odometry/sequences/$number" "$RUNS/bags/odometry$number"
done
for seed in 101 102 103 104 105 106 107 108 109 110; do
    bag street$seed street "$RUNS/bags/street$seed" --seed $seed --frames 10 --speed 80 --size 832x250
done

set --
for name in 0005 0001 0013 object odometry06 odometry01 "$RUNS"/bags/street*; do
    set -- "$@" --bags "$RUNS/bags/$(basename "$name")"
done
for name in 0002 0048 unknown; do set -- "$@" --val "$RUNS/bags/$name"; done

# the paper's stages, one after the other
depth-prune train "$@" --config "$CONFIG/train_mobilenet_96x320.yaml" --out "$RUNS/half"
depth-prune train "$@" --start "$RUNS/half" --config "$CONFIG/train_mobilenet.yaml" \
    --out "$RUNS/dense"
depth-prune prune "$RUNS/half" "$@" --budget macs=0.3 --config "$CONFIG/prune_mobilenet.yaml" \
    --out "$RUNS/masked"
[ -e "$RUNS/compact" ] || depth-prune compact "$RUNS/masked" --out "$RUNS/compact"
depth-prune train "$@" --start "$RUNS/compact" --teacher "$RUNS/half" \
    --config "$CONFIG/finetune_mobilenet_96x320.yaml" --out "$RUNS/small_half"
depth-prune train "$@" --start "$RUNS/small_half" --teacher "$RUNS/dense" \
    --config "$CONFIG/finetune_mobilenet.yaml" --out "$RUNS/small"
depth-prune export "$RUNS/small" "$RUNS/depth_small.onnx"
