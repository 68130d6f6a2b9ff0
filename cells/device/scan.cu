// A cell through time: forward, R-forward and backward, a block for a few sequences of a batch from its first step to its
// last. Weights lie in shared memory all the while. The steps, and the constants of the cell, stand before this text:
// step_text.py makes them of the cell's own steps in Python, with the barriers that one step after the other needs.
//
// Arrays are ordered by step as in cells/passes/time_loops.py: of R rows, or of B + R states, the first B those before
// the first step. Longer sequences stand before shorter ones, so the rows of a block are neighbours at every step.
//
// first (T + 1,): first row of each step. packed: the parameters that the pass reads, one behind the other
// Blocks know nothing of one another: any number of them runs, in any order.
#include "scan_words.cuh"

// Where this block's rows of a step begin, and how many there are; none, or less, if all its sequences have ended.
struct Step {
    int now, before, after, n;
    DEVICE_MEMBER Step(const int* first, int t, int B) {
        const int own = int(blockIdx.x) * SEQUENCES, here = first[t], n_running = first[t + 1] - here;
        now = here + own;
        after = B + here + own;
        before = (t > 0 ? B + first[t - 1] : 0) + own;
        n = n_running - own < SEQUENCES ? n_running - own : SEQUENCES;
    }
};

// Copy ``n`` numbers for all threads of the block; the steps know that they are written by any.
DEVICE void hold(real* shared, const real* packed, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) shared[i] = packed[i];
}

// z in: what all maps but those of the step give; all but the initial states out
KERNEL(
    scan_forward, const real* __restrict__ packed, const int* __restrict__ first, real* z, real* h, real* c, real* e,
    const int* __restrict__ held, const real* __restrict__ values, int n_held, int B, int T
) {
    SHARED(real, shared);
    real *copied = shared, *weights = shared + SEQUENCES * FORWARD_COPIED;
    hold(weights, packed, FORWARD_WEIGHTS);
    const Tape<real> tape{{z}, {h}, {c}, {e}};
    const Held given{held, values, n_held};
    for (int t = 0; t < T; t++) {
        const Step step(first, t, B);
        if (step.n <= 0) break;
        forward_step(copied, weights, tape, given, step.now, step.before, step.after, step.n);
    }
}

// The tape's directional derivative; rz in: what the direction adds to the planes
KERNEL(
    scan_rforward, const real* __restrict__ packed, const int* __restrict__ first, const real* __restrict__ z,
    const real* __restrict__ h, const real* __restrict__ c, const real* __restrict__ e, real* rz, real* rh, real* rc,
    real* re, const int* __restrict__ held, int n_held, int B, int T
) {
    SHARED(real, shared);
    real *copied = shared, *weights = shared + SEQUENCES * RFORWARD_COPIED;
    hold(weights, packed, RFORWARD_WEIGHTS);
    const Tape<const real> tape{{z}, {h}, {c}, {e}};
    const Tape<real> r{{rz}, {rh}, {rc}, {re}};
    const Held given{held, nullptr, n_held};
    for (int t = 0; t < T; t++) {
        const Step step(first, t, B);
        if (step.n <= 0) break;
        rforward_step(copied, weights, tape, r, given, step.now, step.before, step.after, step.n);
    }
}

// Derivatives by the planes, dz (R, Z) out; dh (B, H) and dc (B, C) in: by the final states, out: by the initial ones.
// outputs (R, H): derivatives by the outputs, if there are any. added (R, Z): is added to dz where it is formed
template <bool IS_DAMPED>
DEVICE void go_back(
    real* shared, const real* packed, const int* first, const Tape<const real>& tape, real* dz, real* dh, real* dc,
    const real* added, const Above& above, const Held& given, int B, int T
) {
    real *copied = shared, *h = copied + SEQUENCES * BACKWARD_COPIED, *c = h + SEQUENCES * UNITS;
    real *g = c + SEQUENCES * SECOND, *s = g + SEQUENCES * FED_BACK, *weights = s + SEQUENCES * KEPT;
    const Cotangents d{{dz}, {h}, {c}, {g}, {s}, {added}};
    const int own = int(blockIdx.x) * SEQUENCES, n_own = B - own < SEQUENCES ? B - own : SEQUENCES;
    for (int i = threadIdx.x; i < n_own * UNITS; i += blockDim.x) h[i] = dh[size_t(own) * UNITS + i];
    for (int i = threadIdx.x; i < n_own * SECOND; i += blockDim.x) c[i] = dc[size_t(own) * SECOND + i];
    for (int i = threadIdx.x; i < n_own * FED_BACK; i += blockDim.x) g[i] = 0;
    hold(weights, packed, BACKWARD_WEIGHTS);
    for (int t = T - 1; t >= 0; t--) {
        const Step step(first, t, B);
        if (step.n <= 0) continue;
        if (IS_DAMPED)
            damped_backward_step(copied, weights, tape, d, above, given, step.now, step.before, step.after, step.n);
        else
            backward_step(copied, weights, tape, d, above, given, step.now, step.before, step.after, step.n);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < n_own * UNITS; i += blockDim.x) dh[size_t(own) * UNITS + i] = h[i];
    for (int i = threadIdx.x; i < n_own * SECOND; i += blockDim.x) dc[size_t(own) * SECOND + i] = c[i];
}

#define SCAN_BACKWARD(name, IS_DAMPED)                                                                                 \
    KERNEL(                                                                                                            \
        name, const real* __restrict__ packed, const int* __restrict__ first, const real* __restrict__ z,              \
        const real* __restrict__ h, const real* __restrict__ c, const real* __restrict__ e, real* dz, real* dh,        \
        real* dc, const real* __restrict__ added, const real* __restrict__ outputs, int has_outputs, real limit,       \
        const int* __restrict__ held, int n_held, int B, int T                                                         \
    ) {                                                                                                                \
        SHARED(real, shared);                                                                                          \
        const Tape<const real> tape{{z}, {h}, {c}, {e}};                                                               \
        const Above above{{outputs}, has_outputs, limit};                                                              \
        go_back<IS_DAMPED>(                                                                                            \
            shared, packed, first, tape, dz, dh, dc, added, above, {held, nullptr, n_held}, B, T                       \
        );                                                                                                             \
    }

SCAN_BACKWARD(scan_backward, false)
SCAN_BACKWARD(scan_damped_backward, true)
