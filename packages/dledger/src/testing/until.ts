/** Waiting for what members come to, without a time that would have to be long enough. */
import type { DLedger } from '../dledger.ts'

/** Guards against waiting for ever, on the busiest machine; nothing that is waited for takes that long. */
const LIMIT_MS = 50_000

/**
 * Looks again whenever the status of a member has changed. Resolves when `condition` holds, which follows from the status of `members` or from what they told before it changed.
 *
 * @param what what is waited for; it goes into the error.
 * @throws Error when it does not come to that.
 */
export async function until(what: string, members: Iterable<DLedger>, condition: () => boolean): Promise<void> {
  if (condition()) return
  const over = new AbortController()
  const found = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`never: ${what}`)), LIMIT_MS)
    const end = (): void => {
      if (condition()) resolve()
    }
    over.signal.addEventListener('abort', () => clearTimeout(timer))
    for (const member of members) watch(member, over.signal, end).catch(reject)
  })
  try {
    await found
  } finally {
    over.abort()
  }
}

async function watch(member: DLedger, signal: AbortSignal, changed: () => void): Promise<void> {
  try {
    for await (const _ of member.statuses({ signal })) changed()
  } catch {
    // Nobody waits any more, or the member has stopped, which may be what is waited for.
  }
  changed()
}

/**
 * For what no status tells, as files and log lines: looks in every turn of the event loop, which keeps it busy.
 *
 * @throws Error when it does not come to that.
 */
export async function untilSeen(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + LIMIT_MS
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
