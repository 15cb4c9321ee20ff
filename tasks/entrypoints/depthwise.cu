// Depthwise convolutions of a FastConformer, for any shape, with a pixel's channels together.
//
// Whoever compiles this defines KERNEL (how a kernel is declared), STORED_16 (1 for bfloat16, 0 for
// 32 bits) and TAPS (of the convolution over time). Sums are of 32 bits. A thread computes two
// channels of several frames one after the other, so that it reads most frames once.

#define FRAMES_EACH 16
#define HALVED_EACH 8

typedef struct {
    float a, b;
} pair;

#if STORED_16
typedef unsigned short stored;
typedef unsigned int stored_pair;

static __device__ float widened(stored value) { return __uint_as_float((unsigned int)value << 16); }

static __device__ pair unpacked(stored_pair two) {
    pair both = {__uint_as_float(two << 16), __uint_as_float(two & 0xffff0000u)};
    return both;
}

// To the nearest, ties to even, as PyTorch rounds; what is not a number stays none.
static __device__ unsigned int rounded(float value) {
    unsigned int bits = __float_as_uint(value);
    return value != value ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

static __device__ stored_pair packed(pair both) { return rounded(both.a) | rounded(both.b) << 16; }
#else
typedef float stored;
typedef struct __attribute__((aligned(8))) {
    float a, b;
} stored_pair;

static __device__ float widened(stored value) { return value; }

static __device__ pair unpacked(stored_pair two) {
    pair both = {two.a, two.b};
    return both;
}

static __device__ stored_pair packed(pair both) {
    stored_pair two = {both.a, both.b};
    return two;
}
#endif

static __device__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// One frame of the input, gated; zero beyond both ends of a recording.
static __device__ pair gated_frame(const stored_pair* gated, int frame, int count, int pairs, int at) {
    pair value = {0.0f, 0.0f}, gate;
    if (frame < 0 || frame >= count) return value;
    gated += 2LL * frame * pairs + at;
    value = unpacked(gated[0]);
    gate = unpacked(gated[pairs]);
    value.a *= sigmoid(gate.a);
    value.b *= sigmoid(gate.b);
    return value;
}

// Gate, convolve over time, and activate by SiLU.
//   gated: (recordings, frames, 2 * channels), the second half of the channels gates the first
//   counts: frames of each recording; frames beyond count as zero
//   weight: (channels, TAPS), bias: (channels)
//   made: (recordings, frames, channels)
//   before: frames that the first tap lies before
KERNEL void gate_and_convolve(const stored_pair* gated, const long long* counts, const stored* weight,
                              const stored* bias, stored_pair* made, int frames, int pairs, int before) {
    long long place = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    int at = (int)(place % pairs);
    long long first = place / pairs * FRAMES_EACH;
    int row = blockIdx.y;
    int count = counts[row] < frames ? (int)counts[row] : frames;
    pair taps[TAPS], window[TAPS], offset;
    int frame, tap;
    if (first >= frames) return;
    gated += 2LL * row * frames * pairs;
    made += (long long)row * frames * pairs;
    offset.a = widened(bias[2 * at]);
    offset.b = widened(bias[2 * at + 1]);
    for (tap = 0; tap < TAPS; tap++) {
        taps[tap].a = widened(weight[2 * at * TAPS + tap]);
        taps[tap].b = widened(weight[(2 * at + 1) * TAPS + tap]);
    }
    for (tap = 1; tap < TAPS; tap++)
        window[tap] = gated_frame(gated, (int)first - before + tap - 1, count, pairs, at);
    for (frame = (int)first; frame < frames && frame < first + FRAMES_EACH; frame++) {
        pair sum = offset;
        for (tap = 1; tap < TAPS; tap++) window[tap - 1] = window[tap];
        window[TAPS - 1] = gated_frame(gated, frame - before + TAPS - 1, count, pairs, at);
        for (tap = 0; tap < TAPS; tap++) {
            sum.a = fmaf(taps[tap].a, window[tap].a, sum.a);
            sum.b = fmaf(taps[tap].b, window[tap].b, sum.b);
        }
        sum.a *= sigmoid(sum.a);
        sum.b *= sigmoid(sum.b);
        made[(long long)frame * pairs + at] = packed(sum);
    }
}

// Three neighbouring bands of one frame; zero beyond the image.
static __device__ void read_bands(const stored_pair* image, int frame, int frames, int band, int bands,
                                  int pairs, int at, pair* three) {
    int side;
    for (side = 0; side < 3; side++) {
        int beside = band + side - 1;
        pair none = {0.0f, 0.0f};
        three[side] = none;
        if (frame >= 0 && frame < frames && beside >= 0 && beside < bands)
            three[side] = unpacked(image[((long long)frame * bands + beside) * pairs + at]);
    }
}

// Convolve frames and bands by 3 x 3 with a stride of 2, one zero around.
//   image: (recordings, frames, bands, channels)
//   weight: (channels, 3, 3), bias: (channels)
//   made: (recordings, half of the frames, half of the bands, channels), halves rounded up
KERNEL void halve(const stored_pair* image, const stored* weight, const stored* bias, stored_pair* made,
                  int frames, int bands, int pairs) {
    int halved = (frames + 1) / 2, halved_bands = (bands + 1) / 2;
    long long place = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    int at = (int)(place % pairs);
    int band = (int)(place / pairs % halved_bands);
    long long first = place / pairs / halved_bands * HALVED_EACH;
    pair taps[9], rows[3][3], offset;
    int out, tap, side;
    if (first >= halved) return;
    image += (long long)blockIdx.y * frames * bands * pairs;
    made += (long long)blockIdx.y * halved * halved_bands * pairs;
    offset.a = widened(bias[2 * at]);
    offset.b = widened(bias[2 * at + 1]);
    for (tap = 0; tap < 9; tap++) {
        taps[tap].a = widened(weight[18 * at + tap]);
        taps[tap].b = widened(weight[18 * at + 9 + tap]);
    }
    read_bands(image, 2 * (int)first - 1, frames, 2 * band, bands, pairs, at, rows[0]);
    for (out = (int)first; out < halved && out < first + HALVED_EACH; out++) {
        pair sum = offset;
        read_bands(image, 2 * out, frames, 2 * band, bands, pairs, at, rows[1]);
        read_bands(image, 2 * out + 1, frames, 2 * band, bands, pairs, at, rows[2]);
        for (tap = 0; tap < 9; tap++) {
            sum.a = fmaf(taps[tap].a, rows[tap / 3][tap % 3].a, sum.a);
            sum.b = fmaf(taps[tap].b, rows[tap / 3][tap % 3].b, sum.b);
        }
        made[((long long)out * halved_bands + band) * pairs + at] = packed(sum);
        for (side = 0; side < 3; side++) rows[0][side] = rows[2][side];
    }
}
