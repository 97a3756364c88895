/** The tables of a comparison, as Markdown: the goals, and every figure with its spread. */
import { isMet, isRate, type Row, ROWS } from './goals.ts'
import { type Key, type Measurement, type Metric, summary, type Summary } from './measurements.ts'
import { WORKLOADS } from './workloads.ts'

const UNITS: Readonly<Record<Metric, { readonly unit: string; readonly digits: number }>> = {
  messagesPerSecond: { unit: '/s', digits: 0 },
  megabytesPerSecond: { unit: ' MB/s', digits: 1 },
  serverMicros: { unit: ' µs', digits: 1 },
  clientMicros: { unit: ' µs', digits: 1 },
  p50Ms: { unit: ' ms', digits: 3 },
  p99Ms: { unit: ' ms', digits: 2 },
  p999Ms: { unit: ' ms', digits: 1 },
  failed: { unit: '', digits: 0 },
  otherCores: { unit: '', digits: 2 },
  firstAckMs: { unit: ' ms', digits: 0 },
  idlePercent: { unit: ' %', digits: 2 },
  privateMiB: { unit: ' MiB', digits: 0 },
  gapMs: { unit: ' ms', digits: 0 },
}

function amount(value: number, metric: Metric): string {
  const { unit, digits } = UNITS[metric]
  // Large ones need no fraction.
  const shown = value.toLocaleString('en-US', { maximumFractionDigits: value >= 1_000 ? 0 : digits })
  return `${shown}${unit}`
}

export function figure({ median, least, most, count }: Summary, metric: Metric): string {
  if (count === 1) return amount(median, metric)
  const { digits } = UNITS[metric]
  const plain = (value: number): string =>
    value.toLocaleString('en-US', { maximumFractionDigits: value >= 1_000 ? 0 : digits })
  return `${amount(median, metric)} (${plain(least)}–${plain(most)})`
}

/** 3.2, or 1/3.2 for the cost that is less than that of the base. */
function share(value: number, metric: Metric): string {
  const inverse = !isRate(metric) && value < 1
  const number = inverse ? 1 / value : value
  const shown = number.toLocaleString('en-US', { maximumFractionDigits: number >= 10 ? 1 : 2 })
  return inverse ? `1/${shown}` : shown
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

function oursCell(all: readonly Measurement[], row: Row, base: Summary, system: string): string {
  const wish = row.ours.find(({ key }) => key.system === system)
  const value = wish === undefined ? null : summary(all, wish.key, row.metric)
  if (wish === undefined || value === null) return '–'
  const ratio = value.median / base.median
  const verdict = isMet(row, ratio, wish.goal) ? 'met' : '**not met**'
  return `${figure(value, row.metric)}: ${share(ratio, row.metric)} (goal ${share(wish.goal, row.metric)}), ${verdict}`
}

/** Rows of which the base or ours was not measured are left out. */
export function goalsTable(all: readonly Measurement[]): string {
  const rows = ROWS.flatMap((row) => {
    const base = summary(all, row.base, row.metric)
    if (base === null) return []
    const cells = ['ours-async', 'ours-sync'].map((system) => oursCell(all, row, base, system))
    if (cells.every((cell) => cell === '–')) return []
    const client = row.ours[0]?.key.client ?? ''
    return [[row.title, client, row.base.system, figure(base, row.metric), ...cells]]
  })
  return table(['', 'client', 'compared with', '1 is', 'ours, `ASYNC_FLUSH`', 'ours, `SYNC_FLUSH`'], rows)
}

const SENDING: readonly { readonly metric: Metric; readonly head: string }[] = [
  { metric: 'messagesPerSecond', head: 'messages' },
  { metric: 'megabytesPerSecond', head: 'bodies' },
  { metric: 'serverMicros', head: 'server CPU per message' },
  { metric: 'clientMicros', head: 'client CPU per message' },
  { metric: 'p50Ms', head: 'p50' },
  { metric: 'p99Ms', head: 'p99' },
  { metric: 'firstAckMs', head: 'first acknowledgement' },
  { metric: 'idlePercent', head: 'of a core' },
  { metric: 'privateMiB', head: 'private memory' },
  { metric: 'gapMs', head: 'gap' },
  { metric: 'failed', head: 'failed' },
  { metric: 'otherCores', head: 'other CPU, cores' },
]

/** One table for each workload, a line for each system and client; columns that nobody has are left out. */
export function figuresTables(all: readonly Measurement[]): string {
  return WORKLOADS.flatMap(({ name, title }) => {
    const keys = keysOf(all.filter(({ workload }) => workload === name))
    if (keys.length === 0) return []
    const columns = SENDING.filter(({ metric }) => keys.some((key) => summary(all, key, metric) !== null))
    const rows = keys.map((key) => [
      key.client === null ? key.system : `${key.system}, ${key.client}`,
      ...columns.map(({ metric }) => {
        const value = summary(all, key, metric)
        return value === null ? '–' : figure(value, metric)
      }),
    ])
    return [`### ${title}\n\n${table(['', ...columns.map(({ head }) => head)], rows)}`]
  }).join('\n\n')
}

function keysOf(all: readonly Measurement[]): Key[] {
  const keys = new Map(
    all.map(({ system, workload, client }) => [`${system} ${workload} ${client}`, { system, workload, client }]),
  )
  return [...keys.values()]
}

export function failures(all: readonly Measurement[]): string {
  return all
    .filter(({ failure }) => failure !== undefined)
    .map((one) => `- round ${one.round}, ${one.system}, ${one.workload}, ${one.client ?? 'no client'}: ${one.failure}`)
    .join('\n')
}
