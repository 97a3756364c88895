/**
 * Which queues of a topic each member of a group takes. Pure.
 *
 * Every member decides for itself, so all must sort queues and members alike and use the same rule.
 */
import type { MessageQueue } from '@dledger-ts/remoting'
import { compareText } from '../route/topic-route.ts'

/**
 * Evenly, in runs: the first members take one queue more when it does not come out even; members beyond the number of queues
 * take none.
 *
 * @param queues of one topic, sorted.
 * @returns null when `self` is not among the members: then nothing is known, and all stays as it is.
 * @see RocketMQ AllocateMessageQueueAveragely
 */
export function allocateAveragely(options: {
  queues: readonly MessageQueue[]
  members: readonly string[]
  self: string
}): readonly MessageQueue[] | null {
  const { queues, self } = options
  const members = [...new Set(options.members)].sort(compareText)
  const place = members.indexOf(self)
  if (place < 0) return null
  const each = Math.floor(queues.length / members.length)
  const uneven = queues.length % members.length
  const from = place * each + Math.min(place, uneven)
  return queues.slice(from, from + each + (place < uneven ? 1 : 0))
}
