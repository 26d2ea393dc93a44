/* Pooling of images with channels last: a vector holds channels of one pixel, and windows are
   walked pixel by pixel. */
#include <math.h>
#include <string.h>

/* A window without what lies in the border, as pixels of the image */
typedef struct {
    ptrdiff_t top, bottom, left, right;
} cut_window;

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

/* What one pixel counts in the mean. A window may reach so far beyond the image that the number of
   its pixels is no ptrdiff_t. */
INLINE vec share_of_pixel(const cnet_window *g) {
    return v_set1(1 / ((real)g->kernel_height * (real)g->kernel_width));
}

/* The larger one, or NaN where there is one: what is not less than infinity may be either. */
INLINE vec larger(vec best, vec x) {
    return v_select_lt(x, v_set1((real)INFINITY), v_select_lt(best, x, x, best),
                       v_add(x, v_max(v_set1(0), best)));
}

INLINE void pool_window(const int max, const int whole, const cnet_window *g, cut_window w,
                        vmask mask, const real *x, real *out) {
    vec value = v_set1(max ? -(real)INFINITY : 0);
    for (ptrdiff_t y = w.top; y < w.bottom; y++)
        for (ptrdiff_t c = w.left; c < w.right; c++) {
            const vec here = load_lanes(whole, x + (y * g->width + c) * g->channels, mask);
            value = max ? larger(value, here) : v_add(value, here);
        }
    if (!max)
        value = v_mul(value, share_of_pixel(g));
    store_lanes(whole, out, value, mask);
}

/* The gradient goes to the first pixel that is not less than the largest, or in equal shares to
   all. */
INLINE void unpool_window(const int max, const int whole, const cnet_window *g, cut_window w,
                          vmask mask, const real *x, const real *out, const real *dout, real *dx,
                          int add) {
    const vec zero = v_set1(0), largest = max ? load_lanes(whole, out, mask) : zero;
    vec left = load_lanes(whole, dout, mask), value = v_mul(left, share_of_pixel(g));
    for (ptrdiff_t y = w.top; y < w.bottom; y++)
        for (ptrdiff_t c = w.left; c < w.right; c++) {
            const ptrdiff_t at = (y * g->width + c) * g->channels;
            if (max) {
                const vec here = load_lanes(whole, x + at, mask);
                value = v_select_lt(here, largest, zero, left);
                left = v_select_lt(here, largest, left, zero);
            }
            store_lanes(whole, dx + at,
                        add ? v_add(load_lanes(whole, dx + at, mask), value) : value, mask);
        }
}

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

/* With two_by_two the loops over a window vanish. */
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

static void max_pool(const cnet_window *g, ptrdiff_t n, const real *x, real *out) {
    pool_images(1, g, n, x, out);
}

static void max_pool_backward(const cnet_window *g, ptrdiff_t n, const real *x, const real *out,
                              const real *dout, real *dx) {
    if (g->kernel_height == 2 && g->kernel_width == 2 && g->pad_y == 0 && g->pad_x == 0)
        unpool_images(1, 1, g, n, x, out, dout, dx);
    else
        unpool_images(1, 0, g, n, x, out, dout, dx);
}

static void avg_pool(const cnet_window *g, ptrdiff_t n, const real *x, real *out) {
    pool_images(0, g, n, x, out);
}

/* Neither x nor out is looked at: dout stands in for them. */
static void avg_pool_backward(const cnet_window *g, ptrdiff_t n, const real *dout, real *dx) {
    unpool_images(0, 0, g, n, dout, dout, dout, dx);
}
