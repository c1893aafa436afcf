import { byteLengthOf, DTYPE_BITS } from "./dtypes.ts";
import {
  checkTree,
  describe,
  HostValue,
  PickleFault,
  PyDict,
  PyList,
  PyTuple,
  type PickleHost,
  type PyValue,
} from "./pickle.ts";
import { quote } from "./source.ts";

const STORAGES: Readonly<Record<string, string>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
  ComplexFloatStorage: "C64",
};

class StorageType extends HostValue {
  readonly label = "a storage type";
  readonly dtype: string;
  constructor(dtype: string) {
    super();
    this.dtype = dtype;
  }
}

/** A function or class that PyTorch would call. Here each stands for a few lines of our own. */
class Callable extends HostValue {
  readonly label: string;
  readonly call: (args: readonly PyValue[]) => PyValue;
  constructor(label: string, call: (args: readonly PyValue[]) => PyValue) {
    super();
    this.label = label;
    this.call = call;
  }
}

/** A run of numbers in the file, which tensors view. */
export class StorageRef extends HostValue {
  readonly label = "a storage";
  readonly key: string;
  readonly dtype: string;
  /** Elements. */
  readonly count: number;
  readonly itemBytes: number;
  constructor(key: string, dtype: string, count: number) {
    super();
    this.key = key;
    this.dtype = dtype;
    this.count = count;
    this.itemBytes = DTYPE_BITS.get(dtype)! / 8;
  }
}

/** A tensor as the pickle describes it. Offset and strides count elements. */
export class TensorRef extends HostValue {
  readonly label = "a tensor";
  readonly storage: StorageRef;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  constructor(storage: StorageRef, offset: number, shape: readonly number[], strides: readonly number[]) {
    super();
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

const GLOBALS: ReadonlyMap<string, PyValue> = new Map<string, PyValue>([
  ...Object.entries(STORAGES).map(([name, dtype]) => [`torch.${name}`, new StorageType(dtype)] as const),
  ["torch.storage.UntypedStorage", new StorageType("U8")],
  ["torch._utils._rebuild_tensor", new Callable("_rebuild_tensor", rebuildTensor)],
  ["torch._utils._rebuild_tensor_v2", new Callable("_rebuild_tensor_v2", rebuildTensor)],
  ["torch._utils._rebuild_parameter", new Callable("_rebuild_parameter", rebuildParameter)],
  ["torch._utils._rebuild_parameter_with_state", new Callable("_rebuild_parameter_with_state", rebuildParameter)],
  ["torch.Size", new Callable("torch.Size", torchSize)],
  ["collections.OrderedDict", new Callable("OrderedDict", orderedDict)],
]);

/** Answers a checkpoint's pickle: knows PyTorch's storages and tensors and `OrderedDict`, and nothing else. */
export class TensorHost implements PickleHost {
  /** By key. */
  readonly storages = new Map<string, StorageRef>();

  global(module: string, name: string): PyValue {
    const value = GLOBALS.get(`${module}.${name}`);
    if (value === undefined)
      throw new PickleFault(
        `needs ${quote(`${module}.${name}`)}, which is not allowed: only tensors and plain containers are read`,
      );
    return value;
  }

  /** ("storage", type, key, location, count), and in old files None for a view of another storage. */
  persistent(id: PyValue): PyValue {
    const [tag, type, key, , count, view = null] = id instanceof PyTuple ? id.items : [];
    if (
      tag !== "storage" ||
      !(type instanceof StorageType) ||
      typeof key !== "string" ||
      !isCount(count) ||
      view !== null
    )
      throw new PickleFault(`a persistent id that describes no storage`);
    const known = this.storages.get(key);
    if (known && (known.dtype !== type.dtype || known.count !== count))
      throw new PickleFault(`storage ${quote(key)} is described in two ways`);
    const storage = known ?? new StorageRef(key, type.dtype, count);
    if (!Number.isSafeInteger(storage.count * storage.itemBytes))
      throw new PickleFault(`storage ${quote(key)} of ${count} elements`);
    this.storages.set(key, storage);
    return storage;
  }

  call(callee: PyValue, args: readonly PyValue[]): PyValue {
    if (!(callee instanceof Callable)) throw new PickleFault(`a call of ${describe(callee)}`);
    return callee.call(args);
  }
}

const isCount = (value: PyValue | undefined): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function counts(value: PyValue | undefined, what: string): readonly number[] {
  if (!(value instanceof PyTuple) || value.items.length > 64 || !value.items.every(isCount))
    throw new PickleFault(`a tensor whose ${what} is not a tuple of counts`);
  return value.items as readonly number[];
}

/** (storage, offset, size, stride, …): the rest concerns gradients. */
function rebuildTensor(args: readonly PyValue[]): PyValue {
  const [storage, offset, size, stride] = args;
  if (!(storage instanceof StorageRef))
    throw new PickleFault(`a tensor over ${describe(storage)} instead of a storage`);
  if (!isCount(offset)) throw new PickleFault(`a tensor at offset ${describe(offset)}`);
  const shape = counts(size, "size");
  const strides = counts(stride, "stride");
  const what = `a tensor of shape [${shape.join(", ")}] and strides [${strides.join(", ")}]`;
  if (shape.length !== strides.length || byteLengthOf(storage.dtype, shape) === undefined)
    throw new PickleFault(`${what} is impossible`);
  const elements = shape.reduce((product, length) => product * length, 1);
  // An expanded tensor repeats its storage; a few bytes could ask for terabytes.
  if (elements > storage.count) throw new PickleFault(`${what} over a storage of ${storage.count} elements`);
  const last = elements === 0 ? offset : shape.reduce((at, length, i) => at + (length - 1) * strides[i]!, offset) + 1;
  if (!(last <= storage.count))
    throw new PickleFault(`${what} at ${offset} ends at ${last}, beyond its storage of ${storage.count} elements`);
  return new TensorRef(storage, offset, shape, strides);
}

/** (tensor, requires_grad, hooks, …) */
function rebuildParameter([tensor]: readonly PyValue[]): PyValue {
  if (!(tensor instanceof TensorRef)) throw new PickleFault(`a parameter of ${describe(tensor)} instead of a tensor`);
  return tensor;
}

function torchSize([items]: readonly PyValue[]): PyValue {
  if (!(items instanceof PyTuple)) throw new PickleFault(`a size of ${describe(items)}`);
  return items;
}

/** Called empty and filled afterwards; by Python 2, whose files are still published, with a list of pairs. */
function orderedDict(args: readonly PyValue[]): PyValue {
  const dict = new PyDict();
  if (args.length === 0) return dict;
  const [pairs] = args;
  if (args.length > 1 || !(pairs instanceof PyList)) throw new PickleFault("an OrderedDict of no list of pairs");
  for (const pair of pairs.items) {
    const items = pair instanceof PyList || pair instanceof PyTuple ? pair.items : [];
    if (items.length !== 2) throw new PickleFault(`an OrderedDict with ${describe(pair)} instead of a pair`);
    dict.keys.push(items[0]!);
    dict.values.push(items[1]!);
  }
  return dict;
}

/**
 * The tensors of a checkpoint by name: those of its `state_dict` where it has one (Lightning), else all that it holds
 * in dictionaries, nested keys joined by dots. Other plain values are passed over.
 */
export function collectTensors(root: PyValue): Map<string, TensorRef> {
  if (!(root instanceof PyDict)) throw new PickleFault(`holds ${describe(root)} instead of a dictionary of tensors`);
  checkTree(root);
  const tensors = new Map<string, TensorRef>();
  const visit = (dict: PyDict, prefix: string): void => {
    for (const [i, key] of dict.keys.entries()) {
      const value = dict.values[i]!;
      const name = prefix + (typeof key === "string" ? key : describe(key));
      if (value instanceof PyDict) visit(value, `${name}.`);
      if (!(value instanceof TensorRef)) continue;
      if (tensors.has(name)) throw new PickleFault(`two tensors called ${quote(name)}`);
      tensors.set(name, value);
    }
  };
  const at = root.keys.lastIndexOf("state_dict");
  const stateDict = root.values[at];
  visit(stateDict instanceof PyDict ? stateDict : root, "");
  if (tensors.size === 0) throw new PickleFault("holds no tensors");
  return tensors;
}
