//! The tensors of a network: the table that declares each of them once, and the weights that it makes.
//!
//! A row of the table, in [`Weights::build`], gives a tensor its field, its published name, its shape and
//! its storage. What a file has to contain, what a model takes in memory, how tensors come to their places,
//! and the fingerprint of a model all follow from the table. A new tensor is a field and a row.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::config::{Mixer, Plan};
use crate::quant::{Dtype, Format, Matrix};

/// The names of the embedding and the head, either of which may serve as both.
pub(super) const EMBED: &str = "model.embed_tokens.weight";
pub(super) const HEAD: &str = "lm_head.weight";

/// All weights of a network.
#[derive(Debug, Clone)]
pub struct Weights {
    /// The tensors below, in the order of the table.
    tensors: Vec<(TensorSpec, Tensor)>,
    /// (vocab, hidden)
    pub embed: Arc<Matrix>,
    /// One entry for each layer.
    pub layers: Vec<Layer>,
    /// (hidden)
    pub norm: Arc<[f32]>,
    /// (vocab, hidden); `None`: the output projection is the embedding.
    pub head: Option<Arc<Matrix>>,
}

/// The weights of one decoder layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// (hidden)
    pub attn_norm: Arc<[f32]>,
    /// (heads * head_dim, hidden)
    pub q: Linear,
    /// (kv_heads * head_dim, hidden)
    pub k: Linear,
    /// (kv_heads * head_dim, hidden)
    pub v: Linear,
    /// (hidden, heads * head_dim)
    pub o: Linear,
    /// (head_dim)
    pub q_norm: Option<Arc<[f32]>>,
    /// (head_dim)
    pub k_norm: Option<Arc<[f32]>>,
    /// (hidden)
    pub mlp_norm: Arc<[f32]>,
    /// (inter, hidden)
    pub gate: Linear,
    /// (inter, hidden)
    pub up: Linear,
    /// (hidden, inter)
    pub down: Linear,
}

/// A projection: `x weight^T + bias`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// (out, in)
    pub weight: Arc<Matrix>,
    /// (out)
    pub bias: Option<Arc<[f32]>>,
}

/// A tensor that a network needs.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// Its published name: "model.layers.0.self_attn.q_proj.weight".
    pub name: String,
    /// Its shape: (out, in) for a matrix, one dimension for a norm or a bias.
    pub shape: Vec<usize>,
    /// How it is stored in a model of few bits.
    pub storage: Storage,
}

/// How a matrix is stored in a model of few bits. Norms and biases are f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In the format of the model.
    Plain,
    /// In q8 where the model is q4.
    ///
    /// What 4 bits lose in the embedding and the head goes straight into the choice of the next token, and
    /// what they lose in the values of attention goes into every later position. 8 bits for these cost a
    /// 135M model 16 MB beside 84. The values alone, 2 of the 16, bring the divergence of SmolLM2-135M with
    /// weights off any grid from 0.24 nats a token to 0.15.
    Fine,
}

/// A loaded tensor.
#[derive(Debug, Clone)]
pub enum Tensor {
    /// A matrix in its storage format.
    Matrix(Arc<Matrix>),
    /// A norm or a bias.
    Vector(Arc<[f32]>),
}

/// The rows of a table that begin with the same words.
struct Rows<'a> {
    prefix: String,
    take: &'a mut dyn FnMut(TensorSpec) -> Tensor,
}

impl Weights {
    /// The table: every tensor of a network, in order. `take` is called for each of them and returns it.
    fn build(plan: &Plan, take: &mut dyn FnMut(TensorSpec) -> Tensor) -> Weights {
        use Storage::{Fine, Plain};
        let &Plan { vocab, hidden, inter, head_dim, .. } = plan;
        let (q, kv) = (plan.heads * head_dim, plan.kv_heads * head_dim);

        let embed = Rows::new("", take).matrix(EMBED, [vocab, hidden], Fine);
        let mut layers = Vec::with_capacity(plan.layers.len());
        for (index, layer) in plan.layers.iter().enumerate() {
            let Mixer::Attention(attention) = &layer.mixer;
            let mut t = Rows::new(format!("model.layers.{index}."), take);
            layers.push(Layer {
                attn_norm: t.vector("input_layernorm.weight", hidden),
                q: t.linear("self_attn.q_proj", [q, hidden], attention.qkv_bias, Plain),
                k: t.linear("self_attn.k_proj", [kv, hidden], attention.qkv_bias, Plain),
                v: t.linear("self_attn.v_proj", [kv, hidden], attention.qkv_bias, Fine),
                o: t.linear("self_attn.o_proj", [hidden, q], attention.out_bias, Plain),
                q_norm: attention.qk_norm.map(|_| t.vector("self_attn.q_norm.weight", head_dim)),
                k_norm: attention.qk_norm.map(|_| t.vector("self_attn.k_norm.weight", head_dim)),
                mlp_norm: t.vector("post_attention_layernorm.weight", hidden),
                gate: t.linear("mlp.gate_proj", [inter, hidden], layer.mlp.bias, Plain),
                up: t.linear("mlp.up_proj", [inter, hidden], layer.mlp.bias, Plain),
                down: t.linear("mlp.down_proj", [hidden, inter], layer.mlp.bias, Plain),
            });
        }
        let norm = Rows::new("model.", take).vector("norm.weight", hidden);
        let head = (!plan.tied).then(|| Rows::new("", take).matrix(HEAD, [vocab, hidden], Fine));
        Weights { tensors: Vec::new(), embed, layers, norm, head }
    }

    /// The weights of `plan` made of its tensors, in the order of [`Plan::tensors`].
    ///
    /// Panics: if a tensor is missing, or is a matrix in the place of a vector.
    pub(super) fn of(plan: &Plan, loaded: impl Iterator<Item = Tensor>) -> Weights {
        let mut loaded = loaded.fuse();
        let mut tensors = Vec::new();
        let weights = Weights::build(plan, &mut |spec| {
            let tensor = loaded.next().expect("a tensor for each row of the table");
            tensors.push((spec, tensor.clone()));
            tensor
        });
        Weights { tensors, ..weights }
    }

    /// The same weights with some matrices replaced by others of the same shape.
    pub fn replaced(&self, plan: &Plan, mut other: impl FnMut(&TensorSpec) -> Option<Arc<Matrix>>) -> Weights {
        let tensor = |(spec, tensor): &(TensorSpec, Tensor)| other(spec).map_or_else(|| tensor.clone(), Tensor::Matrix);
        Weights::of(plan, self.tensors.iter().map(tensor))
    }

    /// Every tensor with its spec, in the order of [`Plan::tensors`].
    pub fn tensors(&self) -> &[(TensorSpec, Tensor)] {
        &self.tensors
    }

    /// How most matrices are stored.
    pub fn dtype(&self) -> Dtype {
        let plain = |(spec, tensor): &(TensorSpec, Tensor)| match tensor {
            Tensor::Matrix(matrix) if spec.storage == Storage::Plain => Some(matrix.dtype()),
            _ => None,
        };
        self.tensors.iter().find_map(plain).unwrap_or(self.embed.dtype())
    }

    /// Bytes of memory they take, padding included.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(|(_, tensor)| tensor.bytes()).sum()
    }

    /// Which weights these are, how they are stored, and what is computed with them, as 64 hexadecimal
    /// digits.
    ///
    /// It is the SHA-256 of the plan, of all norms and biases, and of [`SAMPLED_ROWS`] rows of each matrix
    /// as they are stored. Two models, or two formats of one model, differ in it. It takes a moment, where
    /// reading all weights would take as long as loading them.
    pub(crate) fn fingerprint(&self, plan: &Plan) -> String {
        // The context is a limit: it changes no number.
        let plan = Plan { context: 0, ..plan.clone() };
        let mut hash = Sha256::new();
        hash.update(format!("{plan:?}"));
        let vector = |hash: &mut Sha256, values: &[f32]| values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        for (spec, tensor) in &self.tensors {
            hash.update(&spec.name);
            match tensor {
                Tensor::Vector(values) => vector(&mut hash, values),
                Tensor::Matrix(matrix) => {
                    hash.update(format!("{:?} {} {}", matrix.format(), matrix.rows(), matrix.cols()));
                    let mut row = vec![0.0; matrix.cols()];
                    for sample in 0..SAMPLED_ROWS {
                        matrix.row((matrix.rows() - 1) * sample / (SAMPLED_ROWS - 1), &mut row);
                        vector(&mut hash, &row);
                    }
                }
            }
        }
        format!("{:x}", hash.finalize())
    }
}

/// Enough that any training has changed some of them.
const SAMPLED_ROWS: usize = 4;

impl Plan {
    /// Every tensor that the network needs, from the embedding to the head.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut specs = Vec::new();
        let (matrix, vector) = (Arc::new(Matrix::default()), Arc::<[f32]>::default());
        Weights::build(self, &mut |spec: TensorSpec| {
            let empty = if spec.shape.len() == 2 { Tensor::Matrix(matrix.clone()) } else { Tensor::Vector(vector.clone()) };
            specs.push(spec);
            empty
        });
        specs
    }

    /// The number of weights; a tied embedding counts once.
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(TensorSpec::len).sum()
    }

    /// Bytes of the loaded weights when matrices are stored as `dtype`.
    pub fn weight_bytes(&self, dtype: Dtype) -> u64 {
        self.tensors().iter().map(|tensor| tensor.stored_bytes(dtype)).sum()
    }
}

impl TensorSpec {
    /// The number of its values.
    pub fn len(&self) -> u64 {
        self.shape.iter().map(|&dim| dim as u64).product()
    }

    /// True when it has no values, which no tensor of a checked config has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The format in which it is stored in a model of `dtype`, if it is a matrix.
    pub(crate) fn stored_as(&self, dtype: Dtype) -> Format {
        match (self.storage, dtype) {
            (Storage::Fine, Dtype::Q4) => Format::Q8,
            _ => dtype.format(),
        }
    }

    /// Bytes it takes when it is loaded into a model of `dtype`.
    pub(crate) fn stored_bytes(&self, dtype: Dtype) -> u64 {
        match self.shape[..] {
            [rows, cols] => self.stored_as(dtype).matrix_bytes(rows, cols),
            _ => 4 * self.len(),
        }
    }
}

impl Tensor {
    fn bytes(&self) -> u64 {
        match self {
            Tensor::Matrix(matrix) => matrix.bytes(),
            Tensor::Vector(values) => 4 * values.len() as u64,
        }
    }
}

impl<'a> Rows<'a> {
    fn new(prefix: impl Into<String>, take: &'a mut dyn FnMut(TensorSpec) -> Tensor) -> Rows<'a> {
        Rows { prefix: prefix.into(), take }
    }

    fn row(&mut self, name: &str, shape: &[usize], storage: Storage) -> Tensor {
        (self.take)(TensorSpec { name: format!("{}{name}", self.prefix), shape: shape.into(), storage })
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2], storage: Storage) -> Arc<Matrix> {
        match self.row(name, &shape, storage) {
            Tensor::Matrix(matrix) => matrix,
            Tensor::Vector(_) => panic!("{name} is a matrix"),
        }
    }

    fn vector(&mut self, name: &str, len: usize) -> Arc<[f32]> {
        match self.row(name, &[len], Storage::Plain) {
            Tensor::Vector(values) => values,
            Tensor::Matrix(_) => panic!("{name} is a vector"),
        }
    }

    /// A weight and, if the plan has one, its bias.
    fn linear(&mut self, stem: &str, shape: [usize; 2], has_bias: bool, storage: Storage) -> Linear {
        let weight = self.matrix(&format!("{stem}.weight"), shape, storage);
        let bias = has_bias.then(|| self.vector(&format!("{stem}.bias"), shape[0]));
        Linear { weight, bias }
    }
}
