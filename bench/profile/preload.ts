/**
 * Loaded into each server (`--import`): SIGUSR2 starts the profilers named by PROFILE_KINDS, the next one ends them and writes what they
 * saw to PROFILE_DIR. Does nothing before that.
 */
import { type HeapProfiler, type Profiler, Session } from 'node:inspector'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PerformanceObserver } from 'node:perf_hooks'

const CPU_INTERVAL_US = 400
const HEAP_INTERVAL_BYTES = 16_384
/** Kinds of collections, as `perf_hooks` tells them. */
const MINOR = 1
const MAJOR = 4

export interface Pauses {
  minor: number
  major: number
  ms: number
}

const { PROFILE_DIR: directory, PROFILE_KINDS: kinds = '' } = process.env
let end: (() => void) | null = null

function begin(into: string): () => void {
  const session = new Session()
  session.connect()
  if (kinds.includes('cpu')) {
    session.post('Profiler.enable')
    session.post('Profiler.setSamplingInterval', { interval: CPU_INTERVAL_US })
    session.post('Profiler.start')
  }
  if (kinds.includes('heap')) {
    session.post('HeapProfiler.startSampling', {
      samplingInterval: HEAP_INTERVAL_BYTES,
      // What a short life costs is asked, not what is left.
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    } as HeapProfiler.StartSamplingParameterType)
  }
  const pauses: Pauses = { minor: 0, major: 0, ms: 0 }
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { readonly detail: { readonly kind: number } }).detail
      pauses.ms += entry.duration
      if (kind === MINOR) pauses.minor++
      if (kind === MAJOR) pauses.major++
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  return () => {
    const write = (kind: string, what: unknown): void =>
      writeFileSync(join(into, `${process.pid}.${kind}`), JSON.stringify(what))
    observer.disconnect()
    write('gc', pauses)
    if (kinds.includes('cpu')) {
      session.post('Profiler.stop', (_, found: Profiler.StopReturnType) => write('cpuprofile', found.profile))
    }
    if (kinds.includes('heap')) {
      session.post('HeapProfiler.stopSampling', (_, found: HeapProfiler.StopSamplingReturnType) =>
        write('heapprofile', found.profile),
      )
    }
    session.disconnect()
    write('done', true)
  }
}

if (directory !== undefined) {
  process.on('SIGUSR2', () => {
    if (end === null) end = begin(directory)
    else {
      end()
      end = null
    }
  })
}
