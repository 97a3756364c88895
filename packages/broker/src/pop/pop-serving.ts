/**
 * All that serves pops, put together: who takes, who waits, what comes again.
 *
 * Keeps: what waits on a member that leads no more is run again at once, and so goes to the next leader.
 */
import type { Connection } from '@dledger-ts/remoting'
import type { BrokerContext } from '../context.ts'
import { NotificationProcessor, type Notification, notificationProcessors } from '../processors/notification.ts'
import { popAckProcessors } from '../processors/pop-ack.ts'
import { peekProcessors } from '../processors/peek.ts'
import { type Pop, PopProcessor, popProcessors } from '../processors/pop.ts'
import type { Processor } from '../processors/registry.ts'
import { PopPolling } from './pop-polling.ts'
import { PopQueues } from './pop-queues.ts'
import { Revive } from './revive.ts'

export class PopServing {
  readonly #context: BrokerContext
  readonly #queues: PopQueues
  readonly #pops: PopProcessor
  readonly #notifications: NotificationProcessor
  readonly #waitingPops: PopPolling<Pop>
  readonly #waitingNotifications: PopPolling<Notification>
  readonly #revive: Revive
  #isLeading = false

  constructor(context: BrokerContext) {
    const { clock, config } = context
    this.#context = context
    const queues = new PopQueues(context)
    this.#queues = queues
    this.#revive = new Revive(context)
    this.#pops = new PopProcessor(context, { queues, popped: (untilMs) => this.#revive.popped(untilMs) })
    this.#notifications = new NotificationProcessor(context, queues)
    const limits = { perQueueMax: config.popPollingSize, totalMax: config.maxPopPollingSize }
    const retryTopics = (topic: string, group: string): readonly string[] => queues.retryTopics(topic, group)
    this.#waitingPops = new PopPolling(clock, limits, (pop) => this.#pops.resume(pop), retryTopics)
    this.#waitingNotifications = new PopPolling(clock, limits, (one) => this.#notifications.resume(one), retryTopics)
    this.#pops.holdIn(this.#waitingPops)
    this.#notifications.holdIn(this.#waitingNotifications)
  }

  processors(): [number, Processor][] {
    return [
      ...popProcessors(this.#pops),
      ...notificationProcessors(this.#notifications),
      ...peekProcessors(this.#context, this.#queues),
      ...popAckProcessors(this.#context, {
        popped: (untilMs) => this.#revive.popped(untilMs),
        unblocked: (group, queue) => {
          this.#pops.wakeForRest(queue.topic, group, [queue])
          this.#waitingNotifications.wake(queue.topic, group, queue.queueId)
        },
      }),
    ]
  }

  // Hot: runs for each applied message.
  arrived(topic: string, queueId: number, tagsCode: number): void {
    this.#waitingPops.arrived(topic, queueId, tagsCode)
    this.#waitingNotifications.arrived(topic, queueId, tagsCode)
  }

  /** A tool moved a group: whoever waits for these queues looks again. */
  groupMoved(group: string, topic: string, queueIds: Iterable<number>): void {
    for (const queueId of queueIds) {
      this.#pops.wakeForRest(topic, group, [{ topic, queueId }])
      this.#waitingNotifications.wake(topic, group, queueId)
    }
  }

  connectionClosed(connection: Connection): void {
    this.#waitingPops.closed(connection)
    this.#waitingNotifications.closed(connection)
  }

  /** After every change of role. */
  roleChanged(): void {
    this.#revive.roleChanged()
    const isLeading = this.#context.store.isReady()
    if (this.#isLeading && !isLeading) {
      this.#waitingPops.resumeAll()
      this.#waitingNotifications.resumeAll()
    }
    this.#isLeading = isLeading
  }

  stop(): void {
    this.#revive.stop()
  }
}
