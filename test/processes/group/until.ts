/**
 * Waiting for a condition of the world outside: a process, a file, a port. Nothing here waits a fixed time.
 */
import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 50

/**
 * Asks again and again until the answer is not undefined, and returns it. An exception means "not yet", too.
 *
 * @param what what is waited for, a clause: "a leader serves". It goes into the error.
 * @throws Error after `timeoutMs`, with the last exception as its cause.
 */
export async function until<T>(
  what: string,
  timeoutMs: number,
  ask: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  let cause: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== undefined) return answer
      cause = undefined
    } catch (failure) {
      cause = failure
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms until ${what}`, { cause })
    await delay(POLL_MS)
  }
}

/** The same for a condition that is simply true or not. */
export async function untilTrue(
  what: string,
  timeoutMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  await until(what, timeoutMs, async () => ((await holds()) ? true : undefined))
}
