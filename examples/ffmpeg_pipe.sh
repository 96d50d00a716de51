#!/bin/sh
# A film through FFmpeg's own decoder, filters and encoder, with retinexrt between them:
#
#     sh examples/ffmpeg_pipe.sh night.mp4 bright.mp4 --network dawn
#
# For films as they are, `retinexrt enhance night.mp4 -o bright.mp4` does the same and keeps varying frame rates.
set -eu
input=$1 output=$2
shift 2
about=$(ffprobe -v error -select_streams v:0 -show_entries stream=width,height,r_frame_rate -of csv=p=0 "$input")
size=$(echo "$about" | cut -d, -f1)x$(echo "$about" | cut -d, -f2)
rate=$(echo "$about" | cut -d, -f3)
ffmpeg -v error -i "$input" -f rawvideo -pix_fmt rgb24 - |
    retinexrt enhance --raw "$size" "$@" |
    ffmpeg -v error -y -f rawvideo -pix_fmt rgb24 -video_size "$size" -framerate "$rate" -i - -i "$input" \
        -map 0:v -map '1:a?' -c:a copy -pix_fmt yuv420p "$output"
