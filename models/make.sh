#!/bin/sh
# Remake the shipped models from KITTI's frames: bags, dense network, masks, compact networks, int8.
#   models/make.sh KITTI RUNS OUT    KITTI holds raw/, object/ and odometry/; the others are made
# Hours; killed at any moment, the same command goes on where it was.
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

# the paper's stages, one after the other
depth-prune train "$@" --config "$CONFIG/train_mobilenet_96x320.yaml" --out "$RUNS/half"
depth-prune train "$@" --start "$RUNS/half" --config "$CONFIG/train_mobilenet.yaml" \
    --out "$RUNS/dense"

files() {  # NAME: the two files of a network and the picture of its widths
    depth-prune export "$RUNS/$1" "$OUT/depth_$1.onnx"
    depth-prune time "$OUT/depth_$1.onnx" --write
    depth-prune inspect "$RUNS/masked_small" --picture "$OUT/depth_$1.png"
    depth-prune quantize "$OUT/depth_$1.onnx" "$OUT/depth_${1}_int8.onnx" \
        --bags "$RUNS/bags/0005" --bags "$RUNS/bags/object" \
        --val "$RUNS/bags/0002" --val "$RUNS/bags/0048" --val "$RUNS/bags/unknown"
    depth-prune time "$OUT/depth_${1}_int8.onnx" --write
}

# depth_small: with the dense networks as teachers
depth-prune prune "$RUNS/half" "$@" --budget macs=0.33 --config "$CONFIG/prune_small.yaml" \
    --out "$RUNS/masked_small"
[ -e "$RUNS/compact_small" ] || depth-prune compact "$RUNS/masked_small" --out "$RUNS/compact_small"
depth-prune train "$@" --start "$RUNS/compact_small" --teacher "$RUNS/half" \
    --config "$CONFIG/finetune_small_96x320.yaml" --out "$RUNS/small_half"
depth-prune train "$@" --start "$RUNS/small_half" --teacher "$RUNS/dense" \
    --config "$CONFIG/finetune_small.yaml" --out "$RUNS/small_soft"
depth-prune train "$@" --start "$RUNS/small_soft" --config "$CONFIG/sharpen_small.yaml" \
    --out "$RUNS/small_sharp"
depth-prune train "$@" --start "$RUNS/small_sharp" --config "$CONFIG/resharpen_small.yaml" \
    --out "$RUNS/small_sharper"

# depth_tiny: the same widths on a smaller image
depth-prune train "$@" --start "$RUNS/small_soft" --config "$CONFIG/sharpen_tiny.yaml" \
    --out "$RUNS/tiny_sharp"

# each distilled from all of them in turn, twice; what is shipped is the mean of both rounds
set -- "$@" --teacher "$RUNS/small_sharper" --teacher "$RUNS/small_sharp"
depth-prune train "$@" --start "$RUNS/tiny_sharp" --teacher "$RUNS/tiny_sharp" \
    --config "$CONFIG/distil_tiny.yaml" --out "$RUNS/tiny_1"
depth-prune train "$@" --start "$RUNS/small_sharper" --teacher "$RUNS/tiny_1" \
    --config "$CONFIG/distil_small.yaml" --out "$RUNS/small_1"
set -- "$@" --teacher "$RUNS/small_1" --teacher "$RUNS/tiny_1"
depth-prune train "$@" --start "$RUNS/tiny_1" --config "$CONFIG/distil_tiny.yaml" \
    --out "$RUNS/tiny_2"
depth-prune train "$@" --start "$RUNS/small_1" --config "$CONFIG/distil_small.yaml" \
    --out "$RUNS/small_2"
for name in small tiny; do
    [ -e "$RUNS/$name" ] || depth-prune average "$RUNS/${name}_1" "$RUNS/${name}_2" \
        --val "$RUNS/bags/0002" --val "$RUNS/bags/0048" --val "$RUNS/bags/unknown" \
        --out "$RUNS/$name"
    files $name
done
