#!/usr/bin/env bash
# A film through FFmpeg's own decoder, filters and encoder, with retinexrt between them:
#
#     bash examples/ffmpeg_pipe.sh night.mp4 bright.mp4 --network dawn
#
# For films as they are, `retinexrt enhance night.mp4 -o bright.mp4` does the same and keeps varying frame rates.
set -euo pipefail
input=$1 output=$2
shift 2
about() { ffprobe -v error -select_streams v:0 -show_entries "$1" -of default=nokey=1:noprint_wrappers=1 "$input" | head -n 1; }
width=$(about stream=width) height=$(about stream=height) rate=$(about stream=r_frame_rate)
case $(about stream_side_data=rotation) in
    *90 | *270) size=${height}x$width ;; # FFmpeg decodes upright
    *) size=${width}x$height ;;
esac
ffmpeg -v error -i "$input" -map 0:v:0 -f rawvideo -pix_fmt rgb24 - |
    retinexrt enhance --raw "$size" "$@" |
    ffmpeg -v error -y -f rawvideo -pix_fmt rgb24 -video_size "$size" -framerate "$rate" -i - -i "$input" \
        -map 0:v -map '1:a?' -c:a copy -pix_fmt yuv420p "$output"
