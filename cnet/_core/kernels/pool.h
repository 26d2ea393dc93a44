/* Max and average pooling, with their gradients. Channels are last: x (n, height, width, channels),
   out (n, out height, out width, channels). A vector holds channels of one pixel.

   Padding is never a maximum; the average counts it as zeros. */
#include <math.h>
#include <string.h>

/* A window clipped to the image: rows [top, bottom), columns [left, right). */
typedef struct {
    ptrdiff_t top, bottom, left, right;
} cut_window;

/* The window of output pixel (y, x). */
INLINE cut_window window_at(const cnet_window *g, ptrdiff_t y, ptrdiff_t x) {
    const ptrdiff_t top = y * g->stride_y - g->pad_y, left = x * g->stride_x - g->pad_x;
    const cut_window w = {
        top < 0 ? 0 : top,
        min_size(top + g->kernel_height, g->height),
        left < 0 ? 0 : left,
        min_size(left + g->kernel_width, g->width),
    };
    return w;
}

/* 1 / (kernel_height * kernel_width). The product is computed in real numbers: it may not fit into
   a ptrdiff_t. */
INLINE vec pixel_weight(const cnet_window *g) {
    return v_set1(1 / ((real)g->kernel_height * (real)g->kernel_width));
}

/* max(best, x), or NaN if either is NaN. If x < infinity is false, x is infinite or NaN: then
   x + max(0, best) is the result. */
INLINE vec larger(vec best, vec x) {
    return v_select_lt(x, v_set1((real)INFINITY), v_select_lt(best, x, x, best),
                       v_add(x, v_max(v_set1(0), best)));
}

/* out[c] = maximum or mean over pixels p of one window of x[p, c], for one vector of channels c;
   x (height, width, channels), out (channels). full: the vector has all lanes, else those of
   mask. */
INLINE void pool_window(const int max, const int full, const cnet_window *g, cut_window w,
                        vmask mask, const real *x, real *out) {
    vec value = v_set1(max ? -(real)INFINITY : 0);
    for (ptrdiff_t y = w.top; y < w.bottom; y++)
        for (ptrdiff_t c = w.left; c < w.right; c++) {
            const vec here = load_lanes(full, x + (y * g->width + c) * g->channels, mask);
            value = max ? larger(value, here) : v_add(value, here);
        }
    if (!max)
        value = v_mul(value, pixel_weight(g));
    store_lanes(full, out, value, mask);
}

/* dx[p, c] (+)= dout[c] if p is the first pixel of the window with the maximum, else 0; or for the
   mean, dout[c] / (kernel_height * kernel_width) for each pixel p. x, dx (height, width, channels),
   out, dout (channels). add: windows overlap, so dx is added to. */
INLINE void unpool_window(const int max, const int full, const cnet_window *g, cut_window w,
                          vmask mask, const real *x, const real *out, const real *dout, real *dx,
                          int add) {
    const vec zero = v_set1(0), largest = max ? load_lanes(full, out, mask) : zero;
    vec left = load_lanes(full, dout, mask), value = v_mul(left, pixel_weight(g));
    for (ptrdiff_t y = w.top; y < w.bottom; y++)
        for (ptrdiff_t c = w.left; c < w.right; c++) {
            const ptrdiff_t at = (y * g->width + c) * g->channels;
            if (max) {
                const vec here = load_lanes(full, x + at, mask);
                value = v_select_lt(here, largest, zero, left);
                left = v_select_lt(here, largest, left, zero);
            }
            store_lanes(full, dx + at, add ? v_add(load_lanes(full, dx + at, mask), value) : value,
                        mask);
        }
}

/* out[i, y, x, c] = maximum or mean over the window of pixel (y, x) of x[i, :, :, c], for n images;
   shapes as in the head of the file. max is a constant where this is inlined. */
INLINE void pool_images(const int max, const cnet_window *g, ptrdiff_t n, const real *x,
                        real *out) {
    const ptrdiff_t C = g->channels;
    for (ptrdiff_t i = 0; i < n; i++, x += g->height * g->width * C)
        for (ptrdiff_t y = 0; y < g->out_height; y++)
            for (ptrdiff_t c = 0; c < g->out_width; c++, out += C) {
                const cut_window w = window_at(g, y, c);
                ptrdiff_t j = 0;
                for (; j + VL <= C; j += VL)
                    pool_window(max, 1, g, w, v_mask(VL), x + j, out + j);
                if (j < C)
                    pool_window(max, 0, g, w, v_mask(C - j), x + j, out + j);
            }
}

/* dx[i, p, c] = sum over windows of the gradient of pixel p, as in unpool_window, for n images;
   x, dx (n, height, width, channels), out, dout (n, out height, out width, channels).

   max and two_by_two are constants where this is inlined: the loops over a window of 2 x 2 are
   unrolled. */
INLINE void unpool_images(const int max, const int two_by_two, const cnet_window *g, ptrdiff_t n,
                          const real *x, const real *out, const real *dout, real *dx) {
    const ptrdiff_t C = g->channels, image = g->height * g->width * C;
    const int overlap = g->stride_y < g->kernel_height || g->stride_x < g->kernel_width;
    for (ptrdiff_t i = 0; i < n; i++, x += image, dx += image) {
        memset(dx, 0, image * sizeof(real));
        for (ptrdiff_t y = 0; y < g->out_height; y++)
            for (ptrdiff_t c = 0; c < g->out_width; c++, out += C, dout += C) {
                cut_window w = window_at(g, y, c);
                if (two_by_two) {
                    w.bottom = w.top + 2;
                    w.right = w.left + 2;
                }
                ptrdiff_t j = 0;
                for (; j + VL <= C; j += VL)
                    unpool_window(max, 1, g, w, v_mask(VL), x + j, out + j, dout + j, dx + j,
                                  overlap);
                if (j < C)
                    unpool_window(max, 0, g, w, v_mask(C - j), x + j, out + j, dout + j, dx + j,
                                  overlap);
            }
    }
}

/* out[i, y, x, c] = maximum over the window of pixel (y, x) of x[i, :, :, c] */
static void max_pool(const cnet_window *g, ptrdiff_t n, const real *x, real *out) {
    pool_images(1, g, n, x, out);
}

/* dx[i, p, c] = sum of dout[i, y, x, c] over the windows (y, x) with their first maximum at p */
static void max_pool_backward(const cnet_window *g, ptrdiff_t n, const real *x, const real *out,
                              const real *dout, real *dx) {
    if (g->kernel_height == 2 && g->kernel_width == 2 && g->pad_y == 0 && g->pad_x == 0)
        unpool_images(1, 1, g, n, x, out, dout, dx);
    else
        unpool_images(1, 0, g, n, x, out, dout, dx);
}

/* out[i, y, x, c] = sum over the window of pixel (y, x) of x[i, :, :, c], divided by
   kernel_height * kernel_width */
static void avg_pool(const cnet_window *g, ptrdiff_t n, const real *x, real *out) {
    pool_images(0, g, n, x, out);
}

/* dx[i, p, c] = sum of dout[i, y, x, c] over the windows (y, x) that contain pixel p, divided by
   kernel_height * kernel_width. x and out are not read: dout is passed in their place. */
static void avg_pool_backward(const cnet_window *g, ptrdiff_t n, const real *dout, real *dx) {
    unpool_images(0, 0, g, n, dout, dout, dout, dx);
}
