/**
 * Which of the sorted queues go to which of the sorted clients. Every client must compute the same, so ties have no freedom.
 *
 * Source: AllocateMessageQueueAveragely, AllocateMessageQueueAveragelyByCircle.
 */
export type AllocationStrategy = 'AVG' | 'AVG_BY_CIRCLE'

/** @returns the items of client number `clientIndex` of `clientCount`. */
export function allocate<Item>(
  strategy: AllocationStrategy,
  items: readonly Item[],
  { clientIndex, clientCount }: { clientIndex: number; clientCount: number },
): readonly Item[] {
  if (strategy === 'AVG_BY_CIRCLE') return items.filter((_, i) => i % clientCount === clientIndex)
  const remainder = items.length % clientCount
  const getsOneMore = clientIndex < remainder
  const share = Math.floor(items.length / clientCount) + (getsOneMore ? 1 : 0)
  const from = getsOneMore ? clientIndex * share : clientIndex * share + remainder
  return items.slice(from, from + share)
}
