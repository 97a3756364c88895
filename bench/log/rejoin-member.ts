/** One process of the group that `rejoin.ts` measures: appends, trims, and tells its memory, when it is told to. */
import { openMember, tellWhenLeading } from './open-member.ts'
import { percentiles } from './percentiles.ts'

export type RejoinWish =
  | { readonly wish: 'append'; readonly count: number; readonly bytes: number }
  | { readonly wish: 'trim'; readonly before: number }
  /** Notes memory, and appends one entry after the other, until `observed`. */
  | { readonly wish: 'observe'; readonly bytes: number }
  | { readonly wish: 'observed' }
  | { readonly wish: 'level'; readonly index: number }

export interface Memory {
  readonly rss: number
  readonly external: number
  readonly arrayBuffers: number
}

export interface Observed {
  readonly before: Memory
  readonly peak: Memory
  readonly after: Memory
  /** Of an append meanwhile. */
  readonly p50: number
  readonly p99: number
}

const IN_FLIGHT = 256
const SAMPLE_MS = 10
/** Files that a trim can remove one by one. */
const FILE_BYTES = 64 * 1024 * 1024

const [directory = '', self = '', portList = ''] = process.argv.slice(2)
const log = await openMember(self, portList, { directory, flushDiskType: 'SYNC_FLUSH', fileBytes: FILE_BYTES })

let observing: (() => Observed) | null = null
process.on('message', (message: RejoinWish) => {
  switch (message.wish) {
    case 'append':
      void append(message.count, message.bytes).then((lastIndex) => process.send?.({ lastIndex }))
      break
    case 'trim':
      void trim(message.before).then((firstIndex) => process.send?.({ firstIndex }))
      break
    case 'observe':
      observing = observe(message.bytes)
      process.send?.({ observing: true })
      break
    case 'observed':
      process.send?.({ observed: observing?.() })
      break
    case 'level':
      void level(message.index).then((firstIndex) => process.send?.({ level: firstIndex }))
      break
  }
})
process.send?.({ opened: self })
tellWhenLeading(log)

/** @returns the last index then. */
function append(count: number, bytes: number): Promise<number> {
  const body = Buffer.alloc(bytes, 7)
  let [begun, ended] = [0, 0]
  return new Promise((resolve, reject) => {
    const one = (): void => {
      begun++
      log.propose({
        bodyBytes: bytes,
        encodeBody: (target, at) => void body.copy(target, at),
        committed: () => {
          if (begun < count) one()
          if (++ended === count) resolve(log.lastIndex)
        },
        failed: reject,
      })
    }
    for (let i = 0; i < Math.min(IN_FLIGHT, count); i++) one()
  })
}

/** @returns the first index then. */
async function trim(before: number): Promise<number> {
  const { firstIndex } = log
  await log.trimBefore(before)
  while (log.firstIndex === firstIndex) await pause(SAMPLE_MS)
  return log.firstIndex
}

async function level(index: number): Promise<number> {
  while (log.commitIndex < index) await pause(SAMPLE_MS)
  return log.firstIndex
}

function observe(bytes: number): () => Observed {
  const before = memory()
  let peak = before
  const timer = setInterval(() => {
    const now = memory()
    peak = {
      rss: Math.max(peak.rss, now.rss),
      external: Math.max(peak.external, now.external),
      arrayBuffers: Math.max(peak.arrayBuffers, now.arrayBuffers),
    }
  }, SAMPLE_MS)
  let isOver = false
  const took: number[] = []
  const body = Buffer.alloc(bytes, 7)
  const appendOn = async (): Promise<void> => {
    while (!isOver) {
      const begun = performance.now()
      await log.append(body)
      took.push(performance.now() - begun)
    }
  }
  void appendOn()
  return () => {
    isOver = true
    clearInterval(timer)
    const { p50, p99 } = percentiles(took)
    return { before, peak, after: memory(), p50, p99 }
  }
}

function memory(): Memory {
  const { rss, external, arrayBuffers } = process.memoryUsage()
  return { rss, external, arrayBuffers }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
