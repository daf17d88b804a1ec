# How the recipe starts its heavy commands; here: on this machine.
# Several GPUs:  export train_cmd="accelerate launch --multi_gpu -m vqspeech"
# Slurm:         export train_cmd="srun --gpus 1 vqspeech"  cpu_cmd="srun --cpus-per-task 8 vqspeech"
export train_cmd="${train_cmd:-vqspeech}"
# A cluster:     export code_jobs=32   so many of them encode a corpus side by side
export cpu_cmd="${cpu_cmd:-vqspeech}"
export code_jobs="${code_jobs:-1}"
