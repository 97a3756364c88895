/** Curves as a picture: one panel for each, what a message costs over what grows, from zero up. Pure. */

export interface Curve {
  readonly title: string
  /** What x counts. */
  readonly of: string
  /** When and beside what it was measured. */
  readonly note: string
  readonly points: readonly { readonly x: number; readonly y: number }[]
}

const [COLUMNS, WIDTH, HEIGHT] = [2, 460, 250]
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 24, 44, 46]
const [PLOT_WIDTH, PLOT_HEIGHT] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM]
/** Between the axis and the first dot. */
const INSET = 14
/** Where x grows by more than this, its axis is one of powers. */
const POWERS_FROM = 20
/** Every label of a longer curve would cover the next. */
const LABELS_MAX = 8

export function curvesSvg(curves: readonly Curve[], unit: string): string {
  const [width, height] = [COLUMNS * WIDTH, Math.ceil(curves.length / COLUMNS) * HEIGHT]
  const panels = curves.map((curve, i) => {
    const at = `translate(${(i % COLUMNS) * WIDTH} ${Math.floor(i / COLUMNS) * HEIGHT})`
    return `<g transform="${at}">\n${panel(curve, unit)}\n</g>`
  })
  const size = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11">
<rect width="${width}" height="${height}" fill="#fff"/>
${panels.join('\n')}
</svg>
`
}

function panel({ title, of, note, points }: Curve, unit: string): string {
  const top = niceAbove(Math.max(1, ...points.map(({ y }) => y)))
  const across = acrossOf(points.map(({ x }) => x))
  const down = (y: number): number => rounded(TOP + PLOT_HEIGHT * (1 - y / top))
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const y = down(top * share)
    const line = `<line x1="${LEFT}" y1="${y}" x2="${WIDTH - RIGHT}" y2="${y}" stroke="#ddd"/>`
    return line + label(LEFT - 6, y + 4, 'end', '#555', short(top * share))
  })
  const dots = points.map(({ x, y }, i) => {
    const [cx, cy] = [across[i] as number, down(y)]
    const dot = `<circle cx="${cx}" cy="${cy}" r="3" fill="#1565c0"/>`
    if (points.length > LABELS_MAX && i > 0 && i < points.length - 1) return dot
    return (
      dot + label(cx, cy - 8, 'middle', '#123', short(y)) + label(cx, HEIGHT - BOTTOM + 16, 'middle', '#555', short(x))
    )
  })
  const path = points.map(({ y }, i) => `${across[i]},${down(y)}`).join(' ')
  return [
    `<text x="${LEFT}" y="18" font-size="13" font-weight="bold" fill="#123">${escaped(title)}</text>`,
    label(LEFT, 33, 'start', '#777', `${unit}; ${note}`),
    ...grid,
    `<polyline points="${path}" fill="none" stroke="#1565c0" stroke-width="2"/>`,
    ...dots,
    label(LEFT + PLOT_WIDTH / 2, HEIGHT - 12, 'middle', '#555', of),
  ].join('\n')
}

function label(x: number, y: number, anchor: string, fill: string, text: string): string {
  return `<text x="${rounded(x)}" y="${rounded(y)}" text-anchor="${anchor}" fill="${fill}">${escaped(text)}</text>`
}

function acrossOf(values: readonly number[]): number[] {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const isPowers = least > 0 && most / least > POWERS_FROM
  const scaled = (value: number): number => (isPowers ? Math.log(value) : value)
  const span = scaled(most) - scaled(least)
  const share = (value: number): number => (span === 0 ? 0.5 : (scaled(value) - scaled(least)) / span)
  return values.map((value) => rounded(LEFT + INSET + (PLOT_WIDTH - 2 * INSET) * share(value)))
}

/** The next of 1, 2, 4, 5, 10 times a power of ten. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * ([1, 2, 4, 5].find((step) => step * power >= value) ?? 10)
}

function short(value: number): string {
  return value >= 1_000 ? value.toLocaleString('en') : String(Number(value.toPrecision(3)))
}

function rounded(value: number): number {
  return Number(value.toFixed(1))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
