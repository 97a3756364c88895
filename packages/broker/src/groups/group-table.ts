/**
 * Consumer groups: what the log says, and for groups it does not know yet the defaults that they will get.
 *
 * Keeps: only a leader writes a group down, through the log. A pull or a send-back of a new group is served at once by the
 * defaults, since that is what the entry under way will say.
 */
import { background, type Logger } from '@dledger-ts/base'
import { isSystemGroup, retryTopic, topicNameError } from '@dledger-ts/protocol'
import {
  defaultSubscriptionGroupConfig,
  type MessageStoreApi,
  StoreError,
  type SubscriptionGroupConfig,
} from '@dledger-ts/store'
import type { BrokerConfig } from '../config/config.ts'

/** Groups whose creation is under way at most; more are created when they appear again. */
const CREATING_MAX = 1_000

type Groups = Pick<MessageStoreApi, 'groups' | 'createGroup' | 'isReady'>

export class GroupTable {
  readonly #store: Groups
  readonly #config: Pick<BrokerConfig, 'autoCreateSubscriptionGroup'>
  readonly #logger: Logger
  /** Defaults of groups that the log does not have yet. */
  readonly #creating = new Map<string, SubscriptionGroupConfig>()

  constructor(config: Pick<BrokerConfig, 'autoCreateSubscriptionGroup'>, store: Groups, logger: Logger) {
    this.#store = store
    this.#config = config
    this.#logger = logger
  }

  // Hot: runs for each pull.
  /** The group's settings; undefined when it is unknown and may not be created. A leader starts to create it. */
  findOrCreate(group: string): SubscriptionGroupConfig | undefined {
    const known = this.#store.groups().get(group) ?? this.#creating.get(group)
    if (known !== undefined) return known
    if (!this.#mayExist(group)) return undefined
    const config = defaultSubscriptionGroupConfig(group)
    if (this.#store.isReady() && this.#creating.size < CREATING_MAX)
      background(this.#createUnasked(config), `creating group ${group}`, this.#logger)
    return config
  }

  /** The group's settings, without creating it; those of the system are always there. */
  find(group: string): SubscriptionGroupConfig | undefined {
    const known = this.#store.groups().get(group) ?? this.#creating.get(group)
    return known ?? (isSystemGroup(group) ? defaultSubscriptionGroupConfig(group) : undefined)
  }

  /** As `findOrCreate`, but waits until the log has it. Leader only. */
  async create(group: string): Promise<SubscriptionGroupConfig | undefined> {
    const known = this.#store.groups().get(group)
    if (known !== undefined) return known
    return this.#mayExist(group) ? this.#create(defaultSubscriptionGroupConfig(group)) : undefined
  }

  /** Nobody waits for it: it is created when it appears the next time. */
  async #createUnasked(config: SubscriptionGroupConfig): Promise<void> {
    try {
      await this.#create(config)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#logger.info(
        { group: config.groupName, code: error.code, why: error.message },
        'a group was not created yet',
      )
    }
  }

  async #create(config: SubscriptionGroupConfig): Promise<SubscriptionGroupConfig> {
    this.#creating.set(config.groupName, config)
    try {
      return await this.#store.createGroup(config)
    } finally {
      this.#creating.delete(config.groupName)
    }
  }

  #mayExist(group: string): boolean {
    if (!this.#config.autoCreateSubscriptionGroup && !isSystemGroup(group)) return false
    // Older clients use longer names than the 120 characters of today's rule: what counts is that the retry topic can exist.
    return group.trim() !== '' && topicNameError(retryTopic(group)) === undefined
  }
}
