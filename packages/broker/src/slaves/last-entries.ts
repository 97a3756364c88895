/**
 * A master that stops waits a moment until a slave has all that it has: then whichever of the two goes on, nothing is put aside.
 *
 * Keeps: it waits for slaves that are connected only, and not for long.
 */
import type { Clock } from '@dledger-ts/base'
import { type MessageStore, StoreError } from '@dledger-ts/store'

const WAIT_MS_MAX = 1_000
const LOOK_MS = 10

export async function untilSlaveHasAll(
  store: Pick<MessageStore, 'copies' | 'isReady' | 'flushConsumerOffsets'>,
  clock: Clock,
): Promise<void> {
  const { copies } = store
  const untilMs = clock.monotonicMs() + WAIT_MS_MAX
  const isWorthIt = (): boolean => store.isReady() && copies.slaves().some(({ isConnected }) => isConnected)
  if (!isWorthIt()) return
  let cancel = (): void => {}
  const limit = new Promise<void>((resolve) => {
    cancel = clock.after(WAIT_MS_MAX, resolve)
  })
  try {
    // They are the last entries of a clean stop.
    await Promise.race([store.flushConsumerOffsets(), limit])
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
  } finally {
    cancel()
  }
  while (isWorthIt() && copies.heldBy(1) < copies.standing().lastIndex && clock.monotonicMs() < untilMs) {
    await new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve))
  }
}
