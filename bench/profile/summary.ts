/** Profiles as tables: what a function itself took, or allocated, without what it called. */
import type { HeapProfiler, Profiler, Runtime } from 'node:inspector'

export interface Frame {
  readonly name: string
  /** Microseconds, or bytes. */
  readonly self: number
}

/** @returns frames by self time, largest first; waiting for events is none of them. */
export function framesOf(profile: Profiler.Profile): Frame[] {
  const names = new Map(profile.nodes.map((node) => [node.id, nameOf(node.callFrame)]))
  // What Node does natively says little without who asked for it: a file's write and a socket's have the same name.
  for (const { callFrame, children = [] } of profile.nodes) {
    for (const child of children) {
      const name = names.get(child) ?? ''
      if (!name.includes(' ') && !name.startsWith('(')) names.set(child, `${name} by ${nameOf(callFrame)}`)
    }
  }
  const selfUs = new Map<string, number>()
  const { samples = [], timeDeltas = [] } = profile
  samples.forEach((id, i) => {
    const name = names.get(id) ?? ''
    // A sample stands for the time until the next one.
    selfUs.set(name, (selfUs.get(name) ?? 0) + (timeDeltas[i + 1] ?? 0))
  })
  selfUs.delete('(idle)')
  return sorted(selfUs)
}

/** @returns frames by allocated bytes, largest first. */
export function allocationsOf(profile: HeapProfiler.SamplingHeapProfile): Frame[] {
  const bytes = new Map<string, number>()
  const visit = (node: HeapProfiler.SamplingHeapProfileNode): void => {
    const name = nameOf(node.callFrame)
    bytes.set(name, (bytes.get(name) ?? 0) + node.selfSize)
    for (const child of node.children) visit(child)
  }
  visit(profile.head)
  return sorted(bytes)
}

function sorted(self: ReadonlyMap<string, number>): Frame[] {
  return [...self].map(([name, amount]) => ({ name, self: amount })).sort((a, b) => b.self - a.self)
}

function nameOf({ functionName, url, lineNumber }: Runtime.CallFrame): string {
  const name = functionName === '' ? '(anonymous)' : functionName
  if (url === '') return name
  const file = url.replace(/^.*\/packages\//, '').replace(/\/dist\//, '/')
  return `${name} ${file.replace(/^file:\/\/.*\//, '')}:${lineNumber + 1}`
}
