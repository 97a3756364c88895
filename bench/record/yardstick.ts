/**
 * CPU time of a fixed piece of work like a broker's: checksums and copies of a few MiB, strings as keys of a map.
 *
 * On a machine that is busy with other work the same instructions take longer (shared caches, two threads of a core): measured in the same
 * minutes, this tells by how much.
 */
import { crc32 } from '@dledger-ts/base'

const BUFFER_BYTES = 4 * 1024 * 1024
const PIECE_BYTES = 1_024
const KEYS = 20_000
const TIMES = 5

/** Microseconds, the mean of some repetitions: what disturbs is what is to be measured. */
export function yardstickMicros(): number {
  const before = process.cpuUsage()
  for (let time = 0; time < TIMES; time++) work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / TIMES
}

function work(): void {
  const from = Buffer.alloc(BUFFER_BYTES, 'x')
  const to = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  for (let at = 0; at < BUFFER_BYTES; at += PIECE_BYTES) {
    from.copy(to, at, at, at + PIECE_BYTES)
    to.writeUInt32BE(crc32(to.subarray(at, at + PIECE_BYTES)), at)
  }
  const keys = new Map<string, number>()
  for (let i = 0; i < KEYS; i++) keys.set(`topic-${i % 1_000}/${i}`, i)
  for (let i = 0; i < KEYS; i++) keys.delete(`topic-${i % 1_000}/${i}`)
}
