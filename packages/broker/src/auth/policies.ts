/**
 * Whether the policies of a user allow something.
 *
 * Keeps:
 *   - the most specific entry that matches decides; of several equal ones a denial wins (Apache means that, but orders them the other way);
 *   - entries of a `Default` policy count where none of a `Custom` one matches;
 *   - where nothing matches, the answer is no.
 *
 * Source: AclAuthorizationHandler, PolicyEntry.
 */
import type { AccessEntry, AccessPolicies } from '@dledger-ts/store'
import { matchesResource, parseResource, type ResourcePattern, resourceRank, type ResourceType } from './resources.ts'
import { SourceIps } from './source-ips.ts'

export const ACTIONS = ['Unknown', 'All', 'Any', 'Pub', 'Sub', 'Create', 'Update', 'Delete', 'Get', 'List'] as const
export type Action = (typeof ACTIONS)[number]

/** What a request needs: one of the actions on that. */
export interface Need {
  readonly type: ResourceType
  readonly name: string
  readonly actions: readonly Action[]
}

export type Decision = 'allowed' | 'denied' | 'unmatched'

interface CompiledEntry {
  readonly pattern: ResourcePattern
  readonly rank: number
  readonly actions: ReadonlySet<string>
  /** Null: from everywhere. */
  readonly sources: SourceIps | null
  readonly isDenial: boolean
}

/** The policies of one user, made ready for many questions. */
export class CompiledPolicies {
  readonly #custom: readonly CompiledEntry[]
  readonly #fallback: readonly CompiledEntry[]

  constructor(policies: AccessPolicies) {
    this.#custom = compiled(policies, 'Custom')
    this.#fallback = compiled(policies, 'Default')
  }

  decide(need: Need, sourceIp: string): Decision {
    const entry = firstMatch(this.#custom, need, sourceIp) ?? firstMatch(this.#fallback, need, sourceIp)
    if (entry === undefined) return 'unmatched'
    return entry.isDenial ? 'denied' : 'allowed'
  }
}

/** In the order in which they decide. */
function compiled({ policies }: AccessPolicies, type: 'Custom' | 'Default'): CompiledEntry[] {
  return policies
    .filter((policy) => policy.type === type)
    .flatMap(({ entries }) => entries.map(compiledEntry))
    .filter((entry) => entry !== undefined)
    .sort((one, other) => other.rank - one.rank || Number(other.isDenial) - Number(one.isDenial))
}

function compiledEntry({ resource, actions, sourceIps, decision }: AccessEntry): CompiledEntry | undefined {
  const pattern = parseResource(resource)
  if (pattern === undefined) return undefined
  return {
    pattern,
    rank: resourceRank(pattern),
    actions: new Set(actions),
    sources: sourceIps.length === 0 ? null : new SourceIps(sourceIps),
    isDenial: decision === 'Deny',
  }
}

/** Hot where authorization is on. */
function firstMatch(entries: readonly CompiledEntry[], need: Need, sourceIp: string): CompiledEntry | undefined {
  for (const entry of entries) {
    if (!matchesResource(entry.pattern, need.type, need.name)) continue
    if (!hasAction(entry.actions, need.actions)) continue
    if (entry.sources === null || entry.sources.has(sourceIp)) return entry
  }
  return undefined
}

function hasAction(actions: ReadonlySet<string>, wanted: readonly Action[]): boolean {
  if (actions.has('All')) return true
  for (const action of wanted) if (actions.has(action)) return true
  return false
}
