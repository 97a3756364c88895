/**
 * Does a message cost more the more there is? `npm run bench:growth`: CPU per message and rate of one broker, a process of its own, while topics,
 * queues, consumer groups, idle connections, its log or its age grow.
 *
 *   npm run bench:growth -- [--only topics queues …] [--profile DIRECTORY] [--save]
 *
 * Each sweep has a broker of its own and can be run alone; `--save` keeps its curve in bench/growth/curves.json beside those that were not
 * run, and draws all of them anew (bench/growth/curves.svg). The last line is one JSON object.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Option } from 'commander'
import { measurement, wholeNumber, wholeNumbers } from '../options.ts'
import { curvesSvg } from './curves-svg.ts'
import type { Point } from './point.ts'
import { run, type Sweep, SWEEP_NAMES, type SweepOptions, SWEEPS } from './sweeps.ts'

const CURVES = fileURLToPath(new URL('../../growth/curves.json', import.meta.url))
const PICTURE = fileURLToPath(new URL('../../growth/curves.svg', import.meta.url))
const FLUSHES = ['ASYNC_FLUSH', 'SYNC_FLUSH']

interface SavedCurve {
  readonly date: string
  readonly machine: string
  readonly node: string
  /** Of the machine, before the sweep: above its cores other programs waited for one. */
  readonly loadAverage: number
  readonly flush: string
  readonly points: readonly Point[]
}
type SavedCurves = Partial<Record<Sweep, SavedCurve>>

const options = measurement('bench:growth', 'Whether a message costs more the more there is.')
  .addOption(new Option('--only <sweeps...>', 'only these').choices(SWEEP_NAMES))
  .addOption(wholeNumber('--messages <count>', 'of a round', 20_000))
  .addOption(wholeNumber('--rounds <count>', 'of a point, after one that does not count', 3))
  .addOption(wholeNumber('--size <bytes>', 'of a body', 1_024))
  .addOption(wholeNumbers('--log-gigabytes <counts>', 'steps of the log', [1, 2, 4, 7, 10]))
  .addOption(wholeNumber('--age-minutes <count>', 'how old the broker gets', 10))
  .addOption(wholeNumber('--max <count>', 'steps beyond are left out', 10_000))
  .addOption(new Option('--flush <type>', 'when a write counts').choices(FLUSHES).default('ASYNC_FLUSH'))
  .option('--profile <directory>', 'CPU profiles of the first and the last point of each')
  .option('--save', 'keeps the curves, and draws them')
  .parse()
  .opts<SweepOptions & { only?: readonly Sweep[]; save?: boolean }>()

if (options.profile !== undefined) mkdirSync(options.profile, { recursive: true })
const measured: SavedCurves = {}
for (const sweep of options.only ?? SWEEP_NAMES) {
  const loadAverage = Number((loadavg()[0] ?? 0).toFixed(1))
  console.log(`${SWEEPS[sweep]}:`)
  const points = await run(sweep, options, ({ x, ...rest }) => console.log(`  ${x}: ${JSON.stringify(rest)}`))
  measured[sweep] = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}`,
    node: process.version,
    loadAverage,
    flush: options.flush,
    points,
  }
  console.table(points)
  tellGrowth(points)
  // After each, so that one that fails takes none of the others along.
  if (options.save === true) save(measured)
}
console.log(JSON.stringify(measured))

function tellGrowth(points: readonly Point[]): void {
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined) return
  const [cpu, rate] = [last.cpuMicrosBest / first.cpuMicrosBest, last.perSecond / first.perSecond]
  console.log(`the last : the first, CPU ${cpu.toFixed(2)} (best rounds), rate ${rate.toFixed(2)}`)
}

function save(more: SavedCurves): void {
  const curves: SavedCurves = { ...savedCurves(), ...more }
  writeFileSync(CURVES, `${JSON.stringify(curves, null, 2)}\n`)
  const drawn = SWEEP_NAMES.flatMap((sweep) => {
    const curve = curves[sweep]
    if (curve === undefined) return []
    const note = `${curve.date}, load average before ${curve.loadAverage}`
    return [
      { title: sweep, of: SWEEPS[sweep], note, points: curve.points.map(({ x, cpuMicrosBest: y }) => ({ x, y })) },
    ]
  })
  writeFileSync(PICTURE, curvesSvg(drawn, 'µs of CPU for each message'))
}

function savedCurves(): SavedCurves {
  try {
    return JSON.parse(readFileSync(CURVES, 'utf8')) as SavedCurves
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
}
