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

export function isStrategy(name: string): name is AllocationStrategy {
  return name === 'AVG' || name === 'AVG_BY_CIRCLE'
}

/**
 * What one client pops of the sorted queues: its own share and those of the next `shareCount` clients, so that each queue is popped
 * by several.
 *
 * @param clientIndex negative for a client that is not known.
 * @returns `all` when so many share that each pops everything. Source: QueryAssignmentProcessor.allocate4Pop.
 */
export function allocateForPop<Item>(
  strategy: AllocationStrategy,
  items: readonly Item[],
  { clientIndex, clientCount }: { clientIndex: number; clientCount: number },
  shareCount: number,
): readonly Item[] | 'all' {
  if (shareCount <= 0 || shareCount >= clientCount - 1) return 'all'
  if (clientIndex < 0) return []
  if (clientCount > items.length) return [items[clientIndex % items.length] as Item]
  const shares = Array.from({ length: shareCount + 1 }, (_, i) => {
    return allocate(strategy, items, { clientIndex: (clientIndex + i) % clientCount, clientCount })
  })
  return shares.flat()
}
