import { expect, test } from 'vitest'
import { type Curve, curvesSvg } from './curves-svg.ts'

function curve(points: readonly (readonly [number, number])[]): Curve {
  return { title: 'T', of: 'x', note: 'n', points: points.map(([x, y]) => ({ x, y })) }
}

function dots(svg: string): [number, number][] {
  return [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map((match) => [Number(match[1]), Number(match[2])])
}

test('a cost that stays is a level line, and heights count from zero', () => {
  const level = dots(
    curvesSvg(
      [
        curve([
          [10, 20],
          [100, 20],
          [1_000, 20],
        ]),
      ],
      'µs',
    ),
  )
  expect(new Set(level.map(([, y]) => y)).size).toBe(1)
  const [none, half, all] = dots(
    curvesSvg(
      [
        curve([
          [1, 0],
          [2, 20],
          [3, 40],
        ]),
      ],
      'µs',
    ),
  ).map(([, y]) => y)
  expect((none ?? 0) - (half ?? 0)).toBeCloseTo((half ?? 0) - (all ?? 0), 0)
})

test('powers of ten are as far apart as each other, and so are minutes', () => {
  for (const xs of [
    [10, 100, 1_000],
    [1, 2, 3],
  ]) {
    const [a, b, c] = dots(curvesSvg([curve(xs.map((x) => [x, 1] as const))], 'µs')).map(([x]) => x)
    expect((b ?? 0) - (a ?? 0)).toBeCloseTo((c ?? 0) - (b ?? 0), 0)
  }
})

test('names are escaped, and one point or none makes a picture, too', () => {
  const svg = curvesSvg([{ ...curve([[1, 1]]), title: 'a < b & c' }, curve([])], 'µs')
  expect(svg).toContain('a &lt; b &amp; c')
  expect(svg).not.toMatch(/NaN|Infinity|undefined/)
})
