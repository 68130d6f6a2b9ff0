// The reservoir's kernels for CUDA; the CPU's twins are in kernels.py.
//
// LANES       threads that share a row of W: a power of two up to 32
// ENTRIES     entries of a row for each of them, padded with weight 0; drive_shared takes any number
// ACTIVATION  number of the function, see prelude.cuh
// OUTPUTS     fed-back outputs of the closed loop
//
// No kernel here has a barrier across blocks. States (and outputs) are their own medium of exchange: each is written
// once, into memory that says NOT_YET, and whoever needs it reads it again and again until it is there. So the whole grid
// must be resident. Sums have a fixed order: the same input gives the same bits, however the threads are scheduled.
#include "prelude.cuh"

// A state that is not there yet. No state has these bits: a NaN that is computed has others.
constexpr word NOT_YET = ~word(0);
constexpr word NAN_BITS = NOT_YET >> 1;

// What stands at ``address``, where ``seen`` was read before, once it is there.
DEVICE real awaited(const word* address, word seen) {
    while (seen == NOT_YET) {
        SPIN();
        seen = load_relaxed(address);
    }
    return as_real(seen);
}

// The bits of ``x`` as others may read them.
DEVICE word stored(real x) {
    const word bits = as_word(x);
    return bits == NOT_YET ? NAN_BITS : bits;
}

// The sum of what the LANES threads of a row have, the same in each of them.
DEVICE real over_lanes(real sum) {
    UNROLLED
    for (int apart = LANES / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, apart);
    return sum;
}

// The row of W that a group of LANES threads owns for the whole run, its entries in registers.
struct Row {
    real weight[ENTRIES];
    int column[ENTRIES];

    DEVICE_MEMBER void read(const real* __restrict__ weights, const int* __restrict__ columns, int N, int row, int lane) {
        UNROLLED
        for (int j = 0; j < ENTRIES; j++) {
            const size_t entry = (size_t(j) * N + row) * LANES + lane;
            weight[j] = weights[entry];
            column[j] = columns[entry];
        }
    }

    // (W x)_row, as soon as all states that it takes are there.
    DEVICE_MEMBER real times(const word* states) const {
        word seen[ENTRIES];
        UNROLLED
        for (int j = 0; j < ENTRIES; j++) seen[j] = load_relaxed(states + column[j]);
        real sum = 0;
        UNROLLED
        for (int j = 0; j < ENTRIES; j++) sum = multiply_add(weight[j], awaited(states + column[j], seen[j]), sum);
        return over_lanes(sum);
    }
};

// x(t+1) = (1 - a) x(t) + a f(W x(t) + p(t)) for B sequences of T steps.
//
// weights, columns (ENTRIES, N, LANES): entry j of lane l of row r is number j LANES + l of that row
// driven (B, T, N): p, what inputs, feedback, bias and noise add before the activation
// leak (N,): a
// states (B, T + 1, N) in and out: row 0 is where a sequence starts, all others come as NOT_YET
KERNEL(
    drive_open, const real* __restrict__ weights, const int* __restrict__ columns, const real* __restrict__ driven,
    const real* __restrict__ leak, word* states, int N, int T, int B
) {
    const int place = (blockIdx.x * blockDim.x + threadIdx.x) / LANES, lane = threadIdx.x % LANES;
    const bool is_owner = place < N * B;  // the others go along, because shuffles need whole warps
    const int sequence = is_owner ? place / N : 0, row = is_owner ? place % N : 0;
    Row of_W;
    of_W.read(weights, columns, N, row, lane);
    const real a = leak[row];
    const real* p = driven + size_t(sequence) * T * N + row;
    word* now = states + size_t(sequence) * (T + 1) * N;
    real x = as_real(now[row]);
    for (int t = 0; t < T; t++, p += N, now += N) {
        const real added = *p;
        x = multiply_add(a, activate(of_W.times(now) + added) - x, x);
        if (is_owner && lane == 0) store_relaxed(now + N + row, stored(x));
    }
}

// The same for rows with more entries than registers hold: each block copies all states of its sequence into shared
// memory, N at a time, and reads weights anew at every step.
//
// weights, columns (entries, N, LANES), the number of entries no constant; the others as in drive_open.
// The first row_blocks blocks serve the first sequence, and so on. Shared memory: 2 N reals.
KERNEL(
    drive_shared, const real* __restrict__ weights, const int* __restrict__ columns, const real* __restrict__ driven,
    const real* __restrict__ leak, word* states, int N, int T, int entries, int row_blocks
) {
    // The states of odd and of even steps: no thread writes where another may still read.
    SHARED(real, copies);
    const int sequence = blockIdx.x / row_blocks;
    const int place = (blockIdx.x % row_blocks * blockDim.x + threadIdx.x) / LANES, lane = threadIdx.x % LANES;
    const bool is_owner = place < N;
    const int row = is_owner ? place : 0;
    const real a = leak[row];
    const real* p = driven + size_t(sequence) * T * N + row;
    word* now = states + size_t(sequence) * (T + 1) * N;
    real x = as_real(now[row]);
    for (int t = 0; t < T; t++, p += N, now += N) {
        real* copy = copies + (t & 1) * N;
        for (int i = threadIdx.x; i < N; i += blockDim.x) copy[i] = awaited(now + i, load_relaxed(now + i));
        __syncthreads();
        real sum = 0;
        for (int j = 0; j < entries; j++) {
            const size_t entry = (size_t(j) * N + row) * LANES + lane;
            sum = multiply_add(weights[entry], copy[columns[entry]], sum);
        }
        x = multiply_add(a, activate(over_lanes(sum) + *p) - x, x);
        if (is_owner && lane == 0) store_relaxed(now + N + row, stored(x));
    }
}

#ifdef OUTPUTS
// x(t+1) = (1 - a) x(t) + a f(W x(t) + F y(t) + p(t)),   y(t+1) = C x(t+1) + D y(t) + o(t)   for B sequences of T steps.
//
// The first ``row_blocks`` blocks own rows of W as in drive_open; behind them each block owns one output of one sequence.
//
// fed (N, OUTPUTS): F. coef (OUTPUTS, N): C. again (OUTPUTS, OUTPUTS): D. offset (B, T, OUTPUTS): o
// outputs (B, T + 1, OUTPUTS) in and out, as states: row 0 is what is fed back first
KERNEL(
    drive_closed, const real* __restrict__ weights, const int* __restrict__ columns, const real* __restrict__ driven,
    const real* __restrict__ leak, const real* __restrict__ fed, const real* __restrict__ coef,
    const real* __restrict__ again, const real* __restrict__ offset, word* states, word* outputs, int N, int T, int B,
    int row_blocks
) {
    if (int(blockIdx.x) < row_blocks) {
        const int place = (blockIdx.x * blockDim.x + threadIdx.x) / LANES, lane = threadIdx.x % LANES;
        const bool is_owner = place < N * B;
        const int sequence = is_owner ? place / N : 0, row = is_owner ? place % N : 0;
        Row of_W;
        of_W.read(weights, columns, N, row, lane);
        real of_F[OUTPUTS];
        UNROLLED
        for (int o = 0; o < OUTPUTS; o++) of_F[o] = fed[row * OUTPUTS + o];
        const real a = leak[row];
        const real* p = driven + size_t(sequence) * T * N + row;
        const word* y = outputs + size_t(sequence) * (T + 1) * OUTPUTS;
        word* now = states + size_t(sequence) * (T + 1) * N;
        real x = as_real(now[row]);
        for (int t = 0; t < T; t++, p += N, y += OUTPUTS, now += N) {
            real added = *p + of_W.times(now);
            UNROLLED
            for (int o = 0; o < OUTPUTS; o++) added = multiply_add(of_F[o], awaited(y + o, load_relaxed(y + o)), added);
            x = multiply_add(a, activate(added) - x, x);
            if (is_owner && lane == 0) store_relaxed(now + N + row, stored(x));
        }
        return;
    }
    // One a warp. They are not overwritten too early: the next states wait for the output that is made of them.
    SHARED(real, partial);
    const int own = int(blockIdx.x) - row_blocks, sequence = own / OUTPUTS, output = own % OUTPUTS;
    const int thread = threadIdx.x, n_threads = blockDim.x;
    const real* c = coef + size_t(output) * N;
    const word* x = states + size_t(sequence) * (T + 1) * N;
    word* y = outputs + size_t(sequence) * (T + 1) * OUTPUTS;
    for (int t = 0; t < T; t++, y += OUTPUTS) {
        x += N;
        real sum = 0;
        for (int i = thread; i < N; i += n_threads) sum = multiply_add(c[i], awaited(x + i, load_relaxed(x + i)), sum);
        UNROLLED
        for (int apart = 16; apart > 0; apart /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, apart);
        if (thread % 32 == 0) partial[thread / 32] = sum;
        __syncthreads();
        if (thread == 0) {
            real value = offset[(size_t(sequence) * T + t) * OUTPUTS + output];
            for (int o = 0; o < OUTPUTS; o++)
                value = multiply_add(again[output * OUTPUTS + o], awaited(y + o, load_relaxed(y + o)), value);
            for (int i = 0; i < n_threads / 32; i++) value += partial[i];
            store_relaxed(y + OUTPUTS + output, stored(value));
        }
    }
}
#endif
