// Many reservoirs of one graph, which differ by a few numbers: a search in one launch.
//
// CONFIGURATIONS  reservoirs of a block, side by side in shared memory: one read of W serves them all
// ROWS, ENTRIES   rows of W that a thread owns, in registers, and entries of each, padded with weight 0
// ACTIVATION      number of the function, see prelude.cuh
// MOST_THREADS    of a block
//
// Blocks know nothing of one another: any number of them runs, in any order.
#include "prelude.cuh"

// x_c(t+1) = (1 - a_c) x_c(t) + a_c f(r_c W x_c(t) + s_c p(t) + b_c q)   for C configurations over T steps.
//
// weights, columns (ENTRIES, N): W, row by row. driven (T, N): p, what inputs add. bias (N,): q
// radius, input_scale, bias_scale, leak (C,): r, s, b, a
// states (C, T + 1, N) in and out: row 0 is where a reservoir starts. Shared memory: 2 N CONFIGURATIONS reals
KERNEL(
    drive_many, const real* __restrict__ weights, const int* __restrict__ columns, const real* __restrict__ driven,
    const real* __restrict__ bias, const real* __restrict__ radius, const real* __restrict__ input_scale,
    const real* __restrict__ bias_scale, const real* __restrict__ leak, real* states, int N, int T, int C
) {
    SHARED(real, shared);
    real *now = shared, *next = shared + size_t(N) * CONFIGURATIONS;
    const int first = blockIdx.x * CONFIGURATIONS, n_here = C - first < CONFIGURATIONS ? C - first : CONFIGURATIONS;
    real weight[ROWS][ENTRIES], r[CONFIGURATIONS], s[CONFIGURATIONS], b[CONFIGURATIONS], a[CONFIGURATIONS];
    int column[ROWS][ENTRIES];
    UNROLLED
    for (int k = 0; k < ROWS; k++) {
        const int row = threadIdx.x + k * blockDim.x;
        UNROLLED
        for (int j = 0; j < ENTRIES; j++) {
            weight[k][j] = row < N ? weights[size_t(j) * N + row] : 0;
            column[k][j] = row < N ? columns[size_t(j) * N + row] : 0;
        }
    }
    UNROLLED
    for (int c = 0; c < CONFIGURATIONS; c++) {
        const int configuration = first + (c < n_here ? c : 0);  // one that is not there repeats the first
        r[c] = radius[configuration], s[c] = input_scale[configuration];
        b[c] = bias_scale[configuration], a[c] = leak[configuration];
        for (int i = threadIdx.x; i < N; i += blockDim.x)
            now[i * CONFIGURATIONS + c] = states[size_t(configuration) * (T + 1) * N + i];
    }
    __syncthreads();
    for (int t = 0; t < T; t++) {
        UNROLLED
        for (int k = 0; k < ROWS; k++) {
            const int row = threadIdx.x + k * blockDim.x;
            if (row >= N) break;
            real sum[CONFIGURATIONS] = {};
            UNROLLED
            for (int j = 0; j < ENTRIES; j++) {
                const real* x = now + column[k][j] * CONFIGURATIONS;
                UNROLLED
                for (int c = 0; c < CONFIGURATIONS; c++) sum[c] = multiply_add(weight[k][j], x[c], sum[c]);
            }
            const real p = driven[size_t(t) * N + row], q = bias[row];
            UNROLLED
            for (int c = 0; c < CONFIGURATIONS; c++) {
                const real z = multiply_add(r[c], sum[c], multiply_add(s[c], p, b[c] * q));
                const real before = now[row * CONFIGURATIONS + c];
                const real x = multiply_add(a[c], activate(z) - before, before);
                next[row * CONFIGURATIONS + c] = x;
                if (c < n_here) states[(size_t(first + c) * (T + 1) + t + 1) * N + row] = x;
            }
        }
        __syncthreads();
        real* const before = now;
        now = next, next = before;
    }
}
