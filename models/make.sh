#!/bin/sh
# Remake the shipped models from KITTI's frames: bags, dense network, masks, compact networks, int8.
#   models/make.sh KITTI RUNS OUT    KITTI holds raw/, object/ and odometry/; the others are made
# 100 minutes on two cores, twice that where they are slow; killed at any moment, the same command goes on where it was.
set -eu
KITTI=$1
RUNS=$2
OUT=$3
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PATH=$ROOT/.venv/bin:$PATH
CONFIG=$ROOT/config

bag() {  # NAME COMMAND...: make the bag unless it is there
    name=$1; shift
    [ -e "$RUNS/bags/$name" ] || depth-prune bag "$@" --images jpeg
}
compact() {  # MASKED NAME: remove the masked filters unless that is done
    [ -e "$RUNS/$2"/step-*/checkpoint.json ] || depth-prune compact "$RUNS/$1" --out "$RUNS/$2"
}
raw() { bag "$1" kitti "$KITTI/raw/2011_09_26/2011_09_26_drive_$1_sync" "$RUNS/bags/$1"; }

mkdir -p "$RUNS/bags" "$OUT"
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

# a teacher: norms in its decoder let it learn faster, but would cost more when pruned
depth-prune train "$@" --config "$CONFIG/train_norm_96x320.yaml" --out "$RUNS/norm"
depth-prune train "$@" --start "$RUNS/norm" --config "$CONFIG/finetune_norm_96x320.yaml" \
    --out "$RUNS/teacher"

# the paper's stages, one after the other: a dense network, masks, a compact network
depth-prune train "$@" --teacher "$RUNS/teacher" --config "$CONFIG/train_mobilenet_96x320.yaml" \
    --out "$RUNS/half"
depth-prune prune "$RUNS/half" "$@" --budget macs=0.33 --config "$CONFIG/prune_small.yaml" \
    --out "$RUNS/masked"
compact masked compact
depth-prune train "$@" --start "$RUNS/compact" --teacher "$RUNS/teacher" --teacher "$RUNS/half" \
    --config "$CONFIG/finetune_small_96x320.yaml" --out "$RUNS/small_half"
depth-prune train "$@" --start "$RUNS/small_half" --config "$CONFIG/finetune_small.yaml" \
    --out "$RUNS/small_sharp"

# the dense network that trainings of other robots' networks start from (--start shipped)
depth-prune train "$@" --start "$RUNS/half" --config "$CONFIG/train_mobilenet.yaml" \
    --out "$RUNS/dense"
python "$ROOT/benchmarks/half_precision.py" "$RUNS/dense" "$OUT/dense"

# masks once more, at the size of depth_small; then it, and on a smaller image depth_tiny
depth-prune prune "$RUNS/small_sharp" "$@" --budget macs=0.9 --config "$CONFIG/prune_blocks.yaml" \
    --out "$RUNS/blocks_masked"
compact blocks_masked blocks
depth-prune train "$@" --start "$RUNS/blocks" --teacher "$RUNS/teacher" \
    --teacher "$RUNS/small_sharp" --teacher "$RUNS/small_half" \
    --config "$CONFIG/distil_small.yaml" --out "$RUNS/small"
depth-prune train "$@" --start "$RUNS/small" --teacher "$RUNS/small" --teacher "$RUNS/teacher" \
    --teacher "$RUNS/small_sharp" --teacher "$RUNS/small_half" \
    --config "$CONFIG/distil_tiny.yaml" --out "$RUNS/tiny"

# edges, poles and people: by the decoder alone
set -- "$@" --teacher "$RUNS/small" --teacher "$RUNS/tiny"
for name in small tiny; do
    depth-prune train "$@" --start "$RUNS/$name" --config "$CONFIG/sharpen_$name.yaml" \
        --out "$RUNS/${name}_edges"
done

for name in small tiny; do
    depth-prune export "$RUNS/${name}_edges" "$OUT/depth_$name.onnx"
    depth-prune time "$OUT/depth_$name.onnx" --write
    depth-prune inspect "$RUNS/${name}_edges" --picture "$OUT/depth_$name.png"
done
for name in small tiny; do
    depth-prune quantize "$OUT/depth_$name.onnx" "$OUT/depth_${name}_int8.onnx" --max-loss 0.03 \
        --bags "$RUNS/bags/object" --bags "$RUNS/bags/odometry06" --bags "$RUNS/bags/odometry01" \
        --val "$RUNS/bags/0002" --val "$RUNS/bags/0048" --val "$RUNS/bags/unknown"
    depth-prune time "$OUT/depth_${name}_int8.onnx" --write
done
