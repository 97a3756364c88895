/**
 * Two records side by side. Pure.
 *
 * A counter is worse when even its best round is beyond the median of the last record and its tolerance; better when its median is as
 * far below. So noise, which adds and never takes away, does not make it worse as long as one round was spared.
 */
import { COUNTER_NAMES, COUNTERS, type Counter, type CounterKind, type RecordFile } from './counters.ts'

export type Verdict = 'same' | 'worse' | 'better' | 'new' | 'gone' | 'not compared'

export interface Row {
  readonly load: string
  readonly role: string
  readonly counter: Counter
  readonly unit: string
  /** CPU as it would be where the yardstick takes as long as now. */
  readonly last: number | null
  readonly now: number | null
  /** Of all rounds, the best. */
  readonly best: number | null
  readonly verdict: Verdict
}

/** Every counter of both; one that only the last record has is `gone`, which counts as worse. */
export function compare(last: RecordFile, now: RecordFile): Row[] {
  const comparable = isSameLoad(last, now)
  const sameMachine = isSameMachine(last, now)
  const slower = slownessSince(last, now)
  const rows: Row[] = []
  for (const [load, role] of placesOf(last, now)) {
    for (const counter of COUNTER_NAMES) {
      const before = last.loads[load]?.[role]?.[counter]
      const after = now.loads[load]?.[role]?.[counter]
      if (before === undefined && after === undefined) continue
      const kind: CounterKind = COUNTERS[counter]
      let verdict: Verdict
      if (before === undefined) verdict = 'new'
      else if (after === undefined) verdict = 'gone'
      else if (!comparable || (kind.ofMachine && !sameMachine)) verdict = 'not compared'
      else verdict = verdictOf(kind, scaled(kind, before.median, slower), after.median, after.min)
      const [median, best] = [after?.median ?? null, after?.min ?? null]
      rows.push({
        load,
        role,
        counter,
        unit: kind.unit,
        last: before === undefined ? null : scaled(kind, before.median, slower),
        now: median,
        best,
        verdict,
      })
    }
  }
  return rows
}

export function isWorse(rows: readonly Row[]): boolean {
  return rows.some(({ verdict }) => verdict === 'worse' || verdict === 'gone')
}

/** How many times longer the same work takes now than it took for the last record. */
export function slownessSince(last: RecordFile, now: RecordFile): number {
  return now.yardstickMicros / last.yardstickMicros
}

/** Its figures mean the same. */
export function isSameLoad(a: RecordFile, b: RecordFile): boolean {
  return a.load.messages === b.load.messages && a.load.size === b.load.size
}

export function isSameMachine(a: RecordFile, b: RecordFile): boolean {
  const major = (version: string): string | undefined => version.split('.')[0]
  return a.machine.cpu === b.machine.cpu && a.machine.cores === b.machine.cores && major(a.node) === major(b.node)
}

function scaled(kind: CounterKind, last: number, slower: number): number {
  return kind.ofMachine ? last * slower : last
}

function verdictOf(kind: CounterKind, last: number, median: number, best: number): Verdict {
  if (isBeyond(kind, best, last)) return 'worse'
  return isBeyond(kind, last, median) ? 'better' : 'same'
}

function isBeyond(kind: CounterKind, larger: number, smaller: number): boolean {
  return larger > smaller * (1 + kind.tolerance) && larger - smaller > kind.least
}

function placesOf(last: RecordFile, now: RecordFile): [string, string][] {
  const places = new Map<string, [string, string]>()
  for (const { loads } of [last, now]) {
    for (const [load, roles] of Object.entries(loads)) {
      for (const role of Object.keys(roles)) places.set(JSON.stringify([load, role]), [load, role])
    }
  }
  return [...places.values()]
}
