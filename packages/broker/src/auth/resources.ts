/**
 * What policies speak of: clusters, topics and groups, by name, by the beginning of a name, or all of them.
 *
 *   *            everything
 *   Topic:*      every topic
 *   Topic:a*     topics whose name begins with a
 *   Topic:a      the topic a
 *
 * Keeps: of the resources that match one thing, the higher rank is the more specific one.
 *
 * Source: org.apache.rocketmq.auth.authorization.model.Resource, ResourceType, AclAuthorizationHandler.comparePolicyEntries.
 */
const RESOURCE_TYPES = ['Unknown', 'Any', 'Cluster', 'Namespace', 'Topic', 'Group'] as const
export type ResourceType = (typeof RESOURCE_TYPES)[number]

/** Which names of a type. */
type Names =
  | { readonly kind: 'all' }
  | { readonly kind: 'prefix'; readonly prefix: string }
  | { readonly kind: 'one'; readonly name: string }

export interface ResourcePattern {
  readonly type: ResourceType
  readonly names: Names
}

const EVERYTHING: ResourcePattern = { type: 'Any', names: { kind: 'all' } }
const RANK_OF_EVERYTHING = -1
const RANK_OF_ONE = Number.MAX_SAFE_INTEGER

/** @returns undefined for what is none. */
export function parseResource(text: string): ResourcePattern | undefined {
  if (text.trim() === '') return undefined
  if (text === '*') return EVERYTHING
  const colon = text.indexOf(':')
  const typeName = (colon < 0 ? text : text.slice(0, colon)).toLowerCase()
  const type = RESOURCE_TYPES.find((name) => name.toLowerCase() === typeName)
  if (type === undefined) return undefined
  const name = colon < 0 ? '' : text.slice(colon + 1)
  if (name === '*') return { type, names: { kind: 'all' } }
  // As in Java: what stands behind the first asterisk is not looked at.
  if (name.endsWith('*')) return { type, names: { kind: 'prefix', prefix: name.slice(0, name.indexOf('*')) } }
  return { type, names: { kind: 'one', name } }
}

/** The form that it is kept and told in. */
export function resourceText({ type, names }: ResourcePattern): string {
  if (type === 'Any') return '*'
  switch (names.kind) {
    case 'all':
      return `${type}:*`
    case 'prefix':
      return `${type}:${names.prefix}*`
    case 'one':
      return `${type}:${names.name}`
  }
}

export function matchesResource(pattern: ResourcePattern, type: ResourceType, name: string): boolean {
  if (pattern.type === 'Any') return true
  if (pattern.type !== type) return false
  const { names } = pattern
  switch (names.kind) {
    case 'all':
      return true
    case 'prefix':
      return name.startsWith(names.prefix)
    case 'one':
      return names.name === name
  }
}

export function resourceRank({ type, names }: ResourcePattern): number {
  if (type === 'Any') return RANK_OF_EVERYTHING
  switch (names.kind) {
    case 'all':
      return 0
    case 'prefix':
      return 1 + names.prefix.length
    case 'one':
      return RANK_OF_ONE
  }
}
