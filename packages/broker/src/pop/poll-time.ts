/**
 * How long a request to pop may wait. Its client counts from `bornTime`, by its own clock. Pure.
 */

/** A client gives up on an answer after 30 s and closes its connection; it waits less, whatever it asks. */
const HOLD_MS_MAX = 25_000
/** A member that passed a request on gives up after 3 s; the client asks again at once when it is told "nothing". */
const HOLD_FORWARDED_MS_MAX = 1_000
/** So much later than it wanted to wait a client is no longer there. Source: PopMessageRequestHeader.isTimeoutTooMuch. */
const TOO_LATE_MS = 500

export interface PollTime {
  readonly bornTime: number
  readonly pollTime: number
}

/** @returns when the request is answered at the latest, by our wall clock; not after `nowMs` when it is not to wait. */
export function pollDeadline({ bornTime, pollTime }: PollTime, nowMs: number, isForwarded: boolean): number {
  const max = isForwarded ? HOLD_FORWARDED_MS_MAX : HOLD_MS_MAX
  const bornMs = bornTime <= 0 ? nowMs : bornTime
  return Math.min(bornMs + pollTime, nowMs + Math.min(pollTime, max))
}

/** Whether the client has given up. */
export function isTooLate({ bornTime, pollTime }: PollTime, nowMs: number): boolean {
  return bornTime > 0 && nowMs - bornTime - pollTime > TOO_LATE_MS
}
