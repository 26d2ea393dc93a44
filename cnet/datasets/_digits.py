"""Proto."""
import math
import numpy as np
from ._strokes import GLYPHS, SAMPLES

SIZE = 28
BOX = 20.0
BLOCK = 50

class P:  # tuning
    jitter=.06
    aspect=0.16;wide=.12
    slant_mean=.14; slant=.23
    rot=0.10
    warp=0.08; waves=4; warp_freq=4
    stretch=0.15
    thick_mean=1.28; thick=0.28; thick_min=0.55
    soft=(0.8,1.8)
    pressure=0.3
    sigma=0.6
    shift=0.5
    size=0.;sub=1.

def draw_block(labels, rng):
    n = len(labels)
    f = np.float32
    u = rng.random((BLOCK, 4), dtype=f)[:n]
    z = rng.standard_normal((BLOCK, 12), dtype=f)[:n]
    jit = rng.standard_normal((BLOCK, *GLYPHS.points.shape[1:]), dtype=f)[:n]
    glyph = np.searchsorted(GLYPHS.share, labels + u[:, 0].astype(np.float64), side='right')
    ctrl = GLYPHS.points[glyph] + P.jitter * jit
    curve = GLYPHS.spline[glyph] @ ctrl          # n,P,2
    wv = rng.standard_normal((BLOCK, P.waves, 2), dtype=f)[:n] * f(P.warp_freq)
    amp = rng.standard_normal((BLOCK, P.waves, 2), dtype=f)[:n] * f(P.warp*math.sqrt(2/P.waves))
    ph = rng.random((BLOCK, P.waves), dtype=f)[:n] * f(2*np.pi)
    ang = curve @ wv.transpose(0,2,1) + ph[:, None]
    curve += np.sin(ang) @ amp
    # affine
    cos, sin = np.cos(P.rot*z[:,0]), np.sin(P.rot*z[:,0])
    sl = -(P.slant_mean+P.slant*z[:,1])
    ax = np.exp(P.aspect*z[:,2]+P.wide)
    m = np.empty((n,2,2), f)   # row vectors: curve @ m
    # x' = ax*x + sl*y ; y' = y, then rotate
    m[:,0,0]=ax*cos; m[:,0,1]=ax*sin
    m[:,1,0]=sl*cos-sin; m[:,1,1]=sl*sin+cos
    curve = curve @ m
    radius = np.maximum(P.thick_mean*np.exp(P.thick*z[:,3]), P.thick_min).astype(f)
    lo, hi = curve.min(1), curve.max(1)
    ext = (hi-lo).max(1)
    scale = (BOX*np.exp(-np.abs(P.size*z[:,4])) - 2*radius)/ext
    curve *= scale[:,None,None]
    step = np.diff(curve,axis=1)
    ds = np.sqrt((step*step).sum(2)) * GLYPHS.pen_down[glyph]
    w = np.zeros((n,SAMPLES), f)
    w[:,1:] = ds; w[:,:-1] += ds; w*=0.5
    com = (w[:,None]@curve)/w.sum(1)[:,None,None]
    curve += (SIZE/2 + P.shift*(2*u[:,None,2:4]-1)) - com
    sig=P.sigma
    w *= f(1/(math.sqrt(2*math.pi)*sig))
    t = np.linspace(-1,1,SAMPLES,dtype=f)
    w *= np.exp(P.pressure*(z[:,7,None]*t + z[:,8,None]*np.sin(3*t)))
    pix = np.arange(SIZE,dtype=f)
    def g(c):
        d = (pix[:,None]-c[:,None,:])*f(1/(sig*math.sqrt(2)))
        np.multiply(d,d,out=d)
        np.minimum(d, 40, out=d)
        np.negative(d,out=d)
        return np.exp(d,out=d)
    gx,gy=g(curve[...,0]),g(curve[...,1])
    gy*=w[:,None,:]
    S=gy@gx.transpose(0,2,1)
    np.maximum(S,f(1e-30),out=S)
    np.log(S,out=S); S*=f(-2*sig*sig)
    np.maximum(S,0,out=S); np.sqrt(S,out=S)
    soft=P.soft[0]+(P.soft[1]-P.soft[0])*u[:,1]
    ink=(radius[:,None,None]-S)/soft[:,None,None]+f(.5)
    np.clip(ink,0,1,out=ink)
    rows=ink.sum(2);cols=ink.sum(1);mass=rows.sum(1)
    dy=np.rint(rows@pix/mass-SIZE/2+P.sub*(u[:,2]-.5)).astype(np.int64);dx=np.rint(cols@pix/mass-SIZE/2+P.sub*(u[:,3]-.5)).astype(np.int64)
    ip=np.arange(SIZE)
    ink=ink[np.arange(n)[:,None,None],((ip+dy[:,None])%SIZE)[:,:,None],((ip+dx[:,None])%SIZE)[:,None,:]]
    ink*=255
    return (ink+f(.5)).astype(np.uint8)

def draw_digits(labels, seed=0):
    labels=np.asarray(labels)
    out=np.empty((len(labels),SIZE,SIZE),np.uint8)
    for b in range(0,len(labels),BLOCK):
        rng=np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed,spawn_key=(b//BLOCK,))))
        out[b:b+BLOCK]=draw_block(labels[b:b+BLOCK],rng)
    return out
